"""The mapping views as pose refinement wants them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.refinement_config import KeypointConfig, PoseRefinementConfig
from glace_ros.mapping.pose_refinement.refinement_view import RecordedMotion
from glace_ros.mapping.view_refinement import pose_refinement
from glace_ros.mapping.views.mapping_views import MappingView, MappingViews

PATCHES, VIEWS = 50, 3


@pytest.fixture
def views() -> MappingViews:
    """Each with 50 patches."""
    rng = np.random.default_rng(0)
    collected = MappingViews(64, 1, PATCHES, 1 << 20, VIEWS)
    for view in range(VIEWS):
        descriptors_nC = torch.from_numpy(rng.normal(size=(PATCHES, 64))).float()
        descriptors_nC = torch.nn.functional.normalize(descriptors_nC, dim=1)
        pixels_n2 = torch.from_numpy(rng.uniform(0, 100, (PATCHES, 2))).float()
        features = LocalFeatures(descriptors_nC, pixels_n2, torch.ones(PATCHES))
        camera_4 = torch.tensor([100.0, 100.0, 60.0, 40.0])
        collected.append(MappingView(features, Pose.identity(), camera_4, stamp_ns=view))
    return collected


@pytest.mark.parametrize(("most", "count"), [(3_000_000, 20), (30, 10)])
def test_the_descriptors_of_the_best_patches_are_not_copied(views, most, count):
    """They are most of what refinement holds of a view. Of a long recording each has fewer."""
    pytest.importorskip("gtsam")
    motions = [RecordedMotion(Pose.identity(), Pose.identity(), 0, None)] * VIEWS
    config = replace(PoseRefinementConfig(), keypoints=KeypointConfig(count=20, most=most))
    refinement = pose_refinement(views, motions, ["drive"], config, None, lambda *_: None)
    for view, known in zip(views, refinement._views, strict=True):
        assert known.descriptors_nC.shape == (count, 64)
        assert known.descriptors_nC.data_ptr() == view.features.descriptors_nC.data_ptr()
        expected_n2 = view.features.pixels_n2[:count].double().numpy()
        assert (known.pixels_n2 == expected_n2).all()
