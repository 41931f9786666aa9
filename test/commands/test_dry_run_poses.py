"""What a dry run says of a mount, where the poses fit the images all the same."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.drifting_drive import BASE_FROM_CAMERA, record, room, rounds

from glace_ros.commands.dry_run_poses import PoseSample
from glace_ros.geometry.pose import Pose


@pytest.mark.parametrize("degrees", [0, 8])
def test_a_mount_that_is_turned_a_little_is_a_note_beside_the_fit(monkeypatch, degrees):
    turn = Pose.from_rotation_vector([0.0, 0.0, 0.0], [np.radians(degrees), 0.0, 0.0])
    truth = rounds(45)
    recorded = [pose @ BASE_FROM_CAMERA @ turn for pose in truth]
    seen = record(room(3), truth, truth, np.random.default_rng(5))
    views = [replace(view, recorded=pose) for view, pose in zip(seen, recorded, strict=True)]
    sample = PoseSample.__new__(PoseSample)
    camera = SimpleNamespace(fx_px=160.0)
    info = SimpleNamespace(base_from_camera=BASE_FROM_CAMERA @ turn, camera=camera)
    sample._drive, sample._views = SimpleNamespace(info=info), views
    monkeypatch.setattr(sample, "_pose_at", lambda view, offset_s: recorded[view])
    fit, *notes = sample.sentence().splitlines()
    assert fit.startswith("fit: ")
    assert len(notes) == (degrees > 0)
    for note in notes:
        assert note.startswith("note: the camera is turned by 8 deg against its recorded mount")
        assert "--calibrate" in note
