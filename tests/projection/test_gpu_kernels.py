"""The Triton kernels compute the same numbers as the definition.

On a GPU if there is one; else in Triton's interpreter, in a process of its own: Triton decides
whether to interpret when it is first imported, which another test may have done.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from motive.projection import BlockedFastfood, BlockedSRHT

CASES = (  # projection, D', largest block, elements, dtype
    (BlockedFastfood, 16, 64, 200, torch.float32),
    (BlockedFastfood, 64, 1024, 2100, torch.bfloat16),
    (BlockedFastfood, 512, 1 << 13, 20_000, torch.float32),
    (BlockedFastfood, 512, 1 << 15, 33_000, torch.bfloat16),
    (BlockedSRHT, 512, 1 << 12, 9000, torch.float16),
)


def relative_error(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


def errors_of_the_kernel(case, device):
    """Of a whole parameter, and of a slice that begins and ends within blocks."""
    from motive.projection import gpu_kernels

    make, dim, block, elements, dtype = case
    projection = make(dim, seed=3 + (7 << 40), block=block)
    gradient = torch.randn(elements, generator=torch.Generator().manual_seed(1)).to(dtype)
    errors = []
    for start, whole in ((0, elements), (100, elements + 500), ((1 << 33) + 100, 1 << 34)):
        expected = projection.partial("w", gradient.double(), start, whole)
        found = gpu_kernels.partial(projection, "w", gradient.to(device), start, whole)
        errors.append(relative_error(found.cpu(), expected))
    return errors


@pytest.fixture(scope="module")
def errors():
    if find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    if torch.cuda.is_available():
        return [errors_of_the_kernel(case, "cuda") for case in CASES]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("index", range(len(CASES)))
def test_the_gpu_kernel_equals_the_definition(errors, index):
    assert max(errors[index]) < 1e-4


if __name__ == "__main__":
    print(json.dumps([errors_of_the_kernel(case, "cpu") for case in CASES]))
