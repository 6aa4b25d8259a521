"""1.42e9 bfloat16 coordinates to 512 on a GPU: as one vector, and as the parameters of a Wan 1.3B.

Beside a copy of the same vector, and checked against the CPU kernel on its first coordinates.
Without a GPU this is a dry run of every step at a small size, on the CPU kernels, and nothing is
written:

    python benchmarks/projection_gpu.py --elements 200000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from measuring import save, side_by_side
from motive.projection import BlockedFastfood, BlockedSRHT, ParameterTable, Projection

DIM = 512
CHECKED = 1 << 20  # coordinates compared with the CPU
WAN_1_3B = {  # Wan2.1-T2V-1.3B's transformer/config.json
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
}


def wan_parameters(layers: int) -> ParameterTable:
    """Names and shapes of the transformer's parameters, without allocating them."""
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        model = WanTransformer3DModel(**{**WAN_1_3B, "num_layers": layers})
    return ParameterTable.of(model.named_parameters())


def per_parameter(
    projection: Projection, vector: torch.Tensor, table: ParameterTable
) -> torch.Tensor:
    """One partial projection per parameter, as the collector does it, from one long vector."""
    total = torch.zeros(projection.dim, device=vector.device)
    for (name, shape), place in zip(table.entries, table.offsets().values(), strict=True):
        size = torch.Size(shape).numel()
        begin = place % max(1, vector.numel() - size)  # a small dry run reuses its coordinates
        total += projection.partial(name, vector[begin : begin + size])
    return projection.finish(total)


def finished(call: Callable[[], object], device: str) -> Callable[[], object]:
    """The call, and waiting for the device."""

    def run() -> object:
        result = call()
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    return run


def main() -> None:
    """Measure, check, and write the result file if there is a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=1_420_000_000)
    parser.add_argument("--layers", type=int, default=30, help="of the Wan transformer")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(0)
    vector = torch.empty(options.elements, dtype=torch.bfloat16, device=device)
    vector.normal_(generator=generator)
    target = torch.empty_like(vector)
    fastfood, small = BlockedFastfood(DIM), BlockedFastfood(DIM, block=1 << 14)
    srht = BlockedSRHT(DIM)
    table = wan_parameters(options.layers)
    calls: dict[str, Callable[[], object]] = {
        "copy": lambda: target.copy_(vector),
        "fastfood": lambda: fastfood.finish(fastfood.partial("w", vector)),
        "fastfood, blocks of 2^14": lambda: small.finish(small.partial("w", vector)),
        "srht": lambda: srht.finish(srht.partial("w", vector)),
        "fastfood, parameter by parameter": lambda: per_parameter(fastfood, vector, table),
    }
    times = side_by_side(
        {name: finished(call, device) for name, call in calls.items()}, options.rounds
    )
    part = vector[:CHECKED]
    reference = fastfood.partial("w", part.cpu())
    found = fastfood.partial("w", part).cpu()
    error = float((found - reference).norm() / reference.norm())
    size = vector.numel() * vector.element_size()
    rows = {
        name: {
            "milliseconds": 1000 * seconds["min"],
            "coordinates_per_second": options.elements / seconds["min"],
            "times_a_copy": seconds["min"] / times["copy"]["min"],
            "gradient_bytes_per_second": size / seconds["min"],
        }
        for name, seconds in times.items()
    }
    for name, row in rows.items():
        print(name, {key: f"{value:.3g}" for key, value in row.items()})
    print(f"relative difference from the CPU kernel on {part.numel()} coordinates: {error:.1e}")
    if error > 1e-4:
        raise SystemExit("GPU and CPU disagree: do not trust these times")
    if device == "cpu":
        print("no GPU: a dry run, nothing is written")
        return
    peak = torch.cuda.max_memory_allocated()
    save(
        "projection_gpu",
        {
            "elements": options.elements,
            "dim": DIM,
            "parameters": table.identity(),
            "rows": rows,
            "seconds": times,
            "relative_difference_from_cpu": error,
            "peak_bytes": peak,
        },
    )


if __name__ == "__main__":
    main()
