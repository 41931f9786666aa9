"""docs/ros_interface.md says of the parameters what the code says.

`python test/test_ros_interface_doc.py` brings its table up to date.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.commands.evaluate import _parser as evaluate_parser
from glace_ros.evaluation.metrics import RECALL_THRESHOLDS, summarize_frames
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency
from glace_ros.mapping.pose_refinement.refined_poses import RefinementFindings
from glace_ros.node.localizing.base_locator import kind_of
from glace_ros.node.ros_interface.parameters import PARAMETERS
from glace_ros.recording.pose_jumps import ALTERNATING, JUMP, PoseJump
from glace_ros.rejection import RejectionCode

REPO = Path(__file__).resolve().parents[1]
DOC = REPO / "docs" / "ros_interface.md"
BEGIN, END = "<!-- parameters: made by test/test_ros_interface_doc.py -->\n", "<!-- /parameters -->"


def parameter_table() -> str:
    """A Markdown table of all parameters, in the code's order."""
    rows = ["| parameter | default | range | |", "|---|---|---|---|"]
    for name, field in PARAMETERS.items():
        metadata = field.metadata
        values = ""
        if metadata["choices"]:
            values = ", ".join(metadata["choices"])
        elif metadata["low"] is not None:
            values = f"{metadata['low']:g} to {metadata['high']:g}"
        default = field.default
        if isinstance(default, bool):
            default = str(default).lower()
        shown = (
            '""' if default == "" else json.dumps(default) if type(default) is tuple else default
        )
        rows.append(f"| `{name}` | {shown} | {values} | {metadata['description']} |")
    return "\n".join(rows) + "\n"


def test_the_parameter_table_is_the_code_s():
    text = DOC.read_text(encoding="utf-8")
    table = text.split(BEGIN)[1].split(END)[0]
    assert table == parameter_table(), "run `python test/test_ros_interface_doc.py`"


def test_links_between_the_documents_lead_somewhere():
    for name in ("ros_interface.md", "nav2.md"):
        text = (REPO / "docs" / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (REPO / "docs" / target).exists(), f"{name} links to {target}"


def test_every_launch_argument_is_told():
    source = (REPO / "launch" / "localize.launch.py").read_text(encoding="utf-8")
    arguments = re.findall(r'^    "(\w+)": \(', source, re.MULTILINE)
    assert len(arguments) > 8
    text = (REPO / "docs" / "nav2.md").read_text(encoding="utf-8")
    assert [name for name in arguments if f"`{name}`" not in text] == []


def section(title: str) -> str:
    """The part of the document below a heading, with its parts."""
    text = DOC.read_text(encoding="utf-8")
    assert f"\n## {title}\n" in text
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


# in the log of two strings, or of what PyTorch says
PUT_TOGETHER = {
    "at image time (latest is", "RuntimeError: CUDA error", "Rejected fix of rear",
    "s ago, more than",
}  # fmt: skip


def test_the_log_lines_are_those_that_the_code_says():
    said = "\n".join(
        node.value
        for path in (REPO / "glace_ros").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    varies = (
        r"-?\d+(?:\.\d+)?|\.\.\.|x=|FILE|/image|\w+->\w+|ERROR:|Rejected fix:|max_image_age|~/\w+"
    )
    told = {
        part.strip(" .,;:()'")
        for line in re.findall(r"`([^`]+)`", section("Log"))
        for part in re.split(varies, line)
    }
    sentences = {part for part in told if len(part.split()) >= 3} - PUT_TOGETHER
    assert len(sentences) > 30
    assert sorted(sentence for sentence in sentences if sentence not in said) == []


def test_every_field_of_the_status_is_explained():
    lines = (REPO / "msg" / "LocalizationStatus.msg").read_text(encoding="utf-8").splitlines()
    fields = [line for line in lines if line and not line.startswith("#")]
    assert len(fields) > 20
    assert [line for line in fields if not line.partition("#")[2].strip()] == []


def test_the_diagnostics_count_each_rejection_as_the_document_says():
    rows = re.findall(r"^\| `REJECTION_(\w+)` \|[^|]*\|[^|]*\| `(\w+)` \|", DOC.read_text(), re.M)
    assert dict(rows) == {code.name: kind_of(code) for code in RejectionCode if code}


# of nav2_amcl in Jazzy: what its node declares, and Nav2's base class of all lifecycle nodes
OF_AMCL = """
alpha1 alpha2 alpha3 alpha4 alpha5 always_reset_initial_pose base_frame_id beam_skip_distance
beam_skip_error_threshold beam_skip_threshold do_beamskip first_map_only freespace_downsampling
global_frame_id initial_pose.x initial_pose.y initial_pose.z initial_pose.yaw lambda_short
laser_likelihood_max_dist laser_max_range laser_min_range laser_model_type map_topic max_beams
max_particles min_particles odom_frame_id pf_err pf_z recovery_alpha_fast recovery_alpha_slow
resample_interval robot_model_type save_pose_rate scan_topic set_initial_pose sigma_hit tf_broadcast
transform_tolerance update_min_a update_min_d z_hit z_max z_rand z_short
bond_disable_heartbeat_timeout bond_heartbeat_period autostart_node
amcl_pose particle_cloud scan map initialpose
reinitialize_global_localization request_nomotion_update
"""


def test_everything_that_amcl_has_is_in_the_table():
    rows = [line for line in section("In AMCL's place").splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    patterns = [re.escape(name).replace(r"\*", r"\w+") for name in named]
    missing = [name for name in OF_AMCL.split() if not any(re.fullmatch(p, name) for p in patterns)]
    assert missing == []
    assert all(row.split("|")[2].strip() for row in rows)


def test_what_amcl_and_this_node_both_call_the_same_is_a_parameter_here():
    """Else a parameter file for AMCL would fail `configure` where the table says that it fits."""
    same = [row for row in section("In AMCL's place").splitlines() if "| the same" in row]
    names = {
        name
        for row in same
        for name in re.findall(r"`([a-z_.]+)`", row.split("|")[1])
        if "service" not in row and name not in ("initialpose", "amcl_pose")
    }
    assert len(names) > 8
    assert names <= set(PARAMETERS)


def test_every_option_of_the_offline_programs_is_told_with_its_default():
    text = section("build_map and evaluate")
    of_build_map, of_evaluate = text.split("| `evaluate` |")
    for parser, part in ((build_map_parser(""), of_build_map), (evaluate_parser(), of_evaluate)):
        options = [name for action in parser._actions for name in action.option_strings]
        assert [o for o in options if o not in ("-h", "--help") and f"`{o}`" not in part] == []
    defaults = vars(build_map_parser("").parse_args(["--bag", "x"]))
    promised = {
        "keyframe_dist": 0.1, "keyframe_angle": 5.0, "holdout": 0.1, "device": "auto", "seed": 0,
        "output": None, "image_topic": None, "camera_info_topic": None, "pose_source": None,
        "minutes": None, "resume": False, "dry_run": False, "json": None, "report": True,
        "local_encoder": "xfeat", "global_encoder": "vlad", "preset": "default",
        "checkpoint_every": 20.0, "features_cache_gb": 4.0, "refine_poses": "auto",
    }  # fmt: skip
    assert {name: defaults[name] for name in promised} == promised


def test_every_figure_of_the_offline_programs_is_told():
    text = section("build_map and evaluate")
    metrics = {*summarize_frames([]), *RECALL_THRESHOLDS, "p50", "p95", "map_bytes", "aligned"}
    aligned = {"kind", "scale", "truth_from_map", "fitted"}
    of_build_map = {"seconds", "samples_per_second", "read", "encode", "train", "total"}
    jump = PoseJump(0, 0.0, 0.0, JUMP, 0, "")
    of_build_map |= {"pose_jumps", JUMP, ALTERNATING}
    jump_keys = [f'"{key}"' for key in jump.as_json(0)]
    of_build_map |= {"pose_refinement", "refined", "why", "sentences", "consistency", "refine"}
    of_build_map |= PoseConsistency(None, 0, 0).as_json().keys()
    told = [f"`{key}`" for key in metrics | aligned | of_build_map] + jump_keys
    assert [key for key in told if key not in text] == []


def test_every_finding_of_pose_refinement_is_told_and_no_other():
    text = DOC.read_text(encoding="utf-8").split("### pose_refinement\n")[1]
    rows = text[text.index("| key |") :].split("\n\n")[0].splitlines()
    told = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows))
    assert set(told) == {field.name for field in fields(RefinementFindings)}


def test_the_choices_of_refine_poses_are_told():
    (action,) = (a for a in build_map_parser("")._actions if a.dest == "refine_poses")
    (row,) = re.findall(r"^\| `--refine-poses` .*$", section("build_map and evaluate"), re.M)
    assert all(f"`{choice}`" in row for choice in action.choices)
    assert set(action.choices) == {"auto", "on", "off"}


if __name__ == "__main__":
    before, rest = DOC.read_text(encoding="utf-8").split(BEGIN)
    DOC.write_text(before + BEGIN + parameter_table() + END + rest.split(END)[1], encoding="utf-8")
    sys.exit()
