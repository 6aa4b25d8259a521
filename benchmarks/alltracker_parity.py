"""How far the AllTracker port is from the original, on the same weights and clips.

    git clone https://github.com/aharley/alltracker ORIGINAL    (commit c1ed462)
    pip install einops
    python benchmarks/alltracker_parity.py ORIGINAL

Weights are random but made from a seed by name (tests/seeded_alltracker.py), so nothing is
downloaded. They are saved by one side and loaded by the other. The original's code is run where it
lies, on the CPU; torchvision, of which it uses three small layers, is replaced where it is absent.
Results go to benchmarks/results/alltracker_parity.json after every case, and cases that stand there
are not run again. `--golden` instead writes samples of the original's output for the test suite.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from measuring import RESULTS, save
from motive.motion.alltracker import AllTrackerNet, TrackOptions, Variant, load_alltracker
from motive.motion.alltracker.canvas import Canvas
from motive.motion.alltracker.windows import track_forward

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))
from seeded_alltracker import seeded_clip, seeded_state_dict  # noqa: E402

GOLDEN = TESTS / "motion" / "data" / "alltracker_golden.safetensors"
VARIANTS: tuple[Variant, ...] = ("tiny", "full")
GOLDEN_STRIDE = 16  # px between the samples that the golden file keeps


class Case(NamedTuple):
    """One comparison."""

    variant: Variant
    frames: int
    height: int
    width: int
    query: int = 0
    iterations: int = 4
    window: int = 16

    @property
    def name(self) -> str:
        """What stands in the result file."""
        return (
            f"{self.variant} T={self.frames} {self.height}x{self.width} query={self.query} "
            f"iterations={self.iterations} window={self.window}"
        )


def cases() -> list[Case]:
    """T = 2 to 33, both sizes, several query frames, full and tiny; the quick ones first."""
    found = []
    for variant in VARIANTS:
        for frames in (2, 3, 8, 16, 17, 33):
            found += [Case(variant, frames, 128, 128), Case(variant, frames, 160, 224)]
        found += [
            Case(variant, 2, 128, 128, query=1),
            Case(variant, 3, 160, 224, query=1),
            Case(variant, 8, 128, 128, query=3),
            Case(variant, 17, 128, 128, query=16),
            Case(variant, 33, 128, 128, query=15),
            Case(variant, 3, 100, 180),  # odd padding
            Case(variant, 7, 128, 128, window=4),  # the time embedding at another length
        ]
    return sorted(found, key=lambda case: case.frames * case.height * case.width)


GOLDEN_CASES = (
    Case("tiny", 2, 128, 128, iterations=2),
    Case("full", 2, 128, 128, iterations=2),
    Case("tiny", 5, 100, 130, query=0, iterations=1, window=4),
    Case("full", 3, 128, 128, query=0, iterations=1, window=4),
    Case("tiny", 4, 128, 128, query=2, iterations=1, window=4),
)


def main() -> None:
    """Compare, or write the golden file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("original", type=Path, help="checkout of the original")
    parser.add_argument("--golden", action="store_true", help="write the golden file instead")
    parser.add_argument("--most", type=int, default=10**9, help="run at most so many cases")
    options = parser.parse_args()
    original = import_original(options.original)
    torch.set_grad_enabled(False)
    if options.golden:
        write_golden(original)
        return
    path = RESULTS / "alltracker_parity.json"
    done: dict[str, Any] = json.loads(path.read_text())["cases"] if path.exists() else {}
    nets: dict[str, tuple[nn.Module, AllTrackerNet]] = {}
    for case in [case for case in cases() if case.name not in done][: options.most]:
        if case.variant not in nets:
            nets[case.variant] = both_sides(original, case.variant)
        done[case.name] = compare(*nets[case.variant], case)
        print(case.name, done[case.name], flush=True)
        worst = {
            key: max(row[key] for row in done.values())
            for key in ("flow_relative", "visconf_relative", "flow_rms_relative")
        }
        save("alltracker_parity", {"worst": worst, "cases": done})


def both_sides(original: ModuleType, variant: Variant) -> tuple[nn.Module, AllTrackerNet]:
    """Both networks with the same weights: saved by the original, loaded by the port."""
    theirs = original_net(original, variant)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        torch.save({"model": theirs.state_dict()}, path)
        ours = load_alltracker(path, variant)
    theirs.load_state_dict(ours.state_dict())  # and back
    return theirs, ours


def compare(theirs: nn.Module, ours: AllTrackerNet, case: Case) -> dict[str, float]:
    """Largest differences over all frames and pixels, and the CPU seconds of either side.

    "relative" divides the largest difference by the original's largest magnitude, "rms_relative"
    the root mean squares.
    """
    clip = seeded_clip(case.frames, case.height, case.width)
    began = time.process_time()
    flow, visconf = original_track(theirs, clip, case)
    middle = time.process_time()
    our_flow, our_visconf = our_track(ours, clip, case)
    end = time.process_time()
    result = {}
    for name, them, us in (("flow", flow, our_flow), ("visconf", visconf, our_visconf)):
        difference = us - them
        if not them.shape == us.shape or not them.isfinite().all():
            raise SystemExit(f"{case.name}: {name} {tuple(us.shape)} against {tuple(them.shape)}")
        result[f"{name}_relative"] = float(difference.abs().max() / them.abs().max())
        result[f"{name}_rms_relative"] = float(difference.norm() / them.norm())
    result["flow_rms_px"] = float(flow.square().mean().sqrt())
    result["visconf_std"] = float(visconf.std())
    result |= {"original_cpu_s": round(middle - began, 1), "port_cpu_s": round(end - middle, 1)}
    return result


def original_track(
    net: nn.Module, clip: torch.Tensor, case: Case
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow and visconf "f 2 h w" for every frame but the query, as the original's demo does."""
    pictures = clip.permute(0, 3, 1, 2)[None].float()
    parts = []
    for segment, back in (
        (pictures[:, : case.query + 1].flip(1), True),
        (pictures[:, case.query :], False),
    ):
        if segment.shape[1] < 2:
            continue
        flow, visconf, *_ = net.forward_sliding(
            segment, iters=case.iterations, window_len=case.window
        )
        both = torch.cat([flow, visconf], dim=-3)[0]
        both = both[None] if segment.shape[1] == 2 else both[1:]
        parts.append(both.flip(0) if back else both)
    joined = torch.cat(parts)
    return joined[:, :2], joined[:, 2:]


def our_track(
    net: AllTrackerNet, clip: torch.Tensor, case: Case
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by the port, its raw windows included."""
    run = TrackOptions(iterations=case.iterations, min_side=1, window=case.window)
    canvas = Canvas.of(case.height, case.width, 1)
    found: dict[int, torch.Tensor] = {}
    for segment, order in ((clip[: case.query + 1].flip(0), -1), (clip[case.query :], 1)):
        for frames, flow, visconf in track_forward(net, segment, canvas, run):
            for f, both in zip(frames, canvas.take(torch.cat([flow, visconf], 1)), strict=True):
                found[case.query + order * f] = both
    found.pop(case.query, None)
    joined = torch.stack([found[f] for f in sorted(found)])
    return joined[:, :2], joined[:, 2:]


def write_golden(original: ModuleType) -> None:
    """Samples of the original's output, and what they belong to."""
    tensors, nets = {}, {}
    for case in GOLDEN_CASES:
        if case.variant not in nets:
            nets[case.variant] = both_sides(original, case.variant)
        clip = seeded_clip(case.frames, case.height, case.width)
        flow, visconf = original_track(nets[case.variant][0], clip, case)
        both = torch.cat([flow, visconf], dim=1)
        tensors[json.dumps(case._asdict())] = both[
            ..., GOLDEN_STRIDE // 2 :: GOLDEN_STRIDE, GOLDEN_STRIDE // 2 :: GOLDEN_STRIDE
        ].contiguous()
        print(case.name, compare(*nets[case.variant], case))
    GOLDEN.parent.mkdir(exist_ok=True)
    save_file(tensors, GOLDEN)
    print(f"written: {GOLDEN} ({GOLDEN.stat().st_size} bytes)")


def original_net(original: ModuleType, variant: Variant) -> nn.Module:
    """The original's network with seeded weights, as its demo builds it."""
    tiny = {"use_basicencoder": True, "no_split": True} if variant == "tiny" else {}
    net = original.Net(16, init_weights=False, **tiny).eval()
    net.load_state_dict(seeded_state_dict(variant), strict=True)
    return net


def import_original(checkout: Path) -> ModuleType:
    """Its module nets.alltracker, on the CPU and without torchvision."""
    if not (checkout / "nets" / "alltracker.py").is_file():
        raise SystemExit(f"{checkout}: no nets/alltracker.py; give a checkout of the original")
    if importlib.util.find_spec("einops") is None:
        raise SystemExit("the original needs einops: pip install einops")
    if importlib.util.find_spec("torchvision") is None:
        _stand_in_for_torchvision()
    torch.Tensor.cuda = lambda tensor, *_: tensor  # type: ignore[method-assign]  # it insists
    sys.path.insert(0, str(checkout))
    return importlib.import_module("nets.alltracker")


def _stand_in_for_torchvision() -> None:
    class Permute(nn.Module):
        def __init__(self, dims: list[int]) -> None:
            super().__init__()
            self.dims = dims

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(self.dims)

    class Conv2dNormActivation(nn.Sequential):
        def __init__(
            self, c_in: int, c_out: int, *, norm_layer: Any, activation_layer: None, **conv: Any
        ) -> None:
            super().__init__(nn.Conv2d(c_in, c_out, **conv), norm_layer(c_out))

    class StochasticDepth(nn.Identity):
        """At inference it does nothing."""

    for name, content in (
        ("torchvision", {}),
        ("torchvision.ops", {}),
        (
            "torchvision.ops.misc",
            {"Permute": Permute, "Conv2dNormActivation": Conv2dNormActivation},
        ),
        ("torchvision.ops.stochastic_depth", {"StochasticDepth": StochasticDepth}),
    ):
        module = ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module


if __name__ == "__main__":
    main()
