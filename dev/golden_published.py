"""Write test/golden_published.json: what the published networks make of seeded weights.

    PYTHONPATH=test python dev/golden_published.py ACE GLACE

ACE, GLACE: checkouts of nianticlabs/ace and cvg/glace; the latter's datasets/extract_features.py
has R2Former's retrieval branch and needs timm and torchvision. Their code and weights are not ours
to ship, the numbers are facts.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from published_networks import HEADS, head_inputs, official_head, picture, seeded, some
from torch.nn import functional

OUTPUT = Path(__file__).parents[1] / "test" / "golden_published.json"


def load(path: Path) -> ModuleType:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Of its tensors."""
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


@torch.inference_mode()
def main(ace: Path, glace: Path) -> None:
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
    code_G = net.eval()(prepare(picture(96, 150, 3))[None])[0]
    assert functional.normalize(code_G, dim=0).allclose(code_G, atol=1e-5)
    golden["r2former"] = some(code_G)
    OUTPUT.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
