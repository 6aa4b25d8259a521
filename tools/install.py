"""Fill a virtual environment: PyTorch first (CPU unless asked), then MOTIVE.

PyPI's Linux build of PyTorch brings several gigabytes of CUDA libraries. This asks pip what it
would install; if that includes CUDA packages and nobody asked for them, uv fetches PyTorch's own
CPU build instead.

    python tools/install.py [--extras dev] [--torch auto|cpu|cuda]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Install into the environment of the running interpreter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extras", default="", help="comma-separated extras, for example dev")
    parser.add_argument(
        "--torch",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto and cpu never install CUDA packages",
    )
    options = parser.parse_args()
    pin = torch_pin()
    if installed_torch() != pin.partition("==")[2]:
        install_torch(pin, cuda=options.torch == "cuda")
    target = f"{ROOT}[{options.extras}]" if options.extras else str(ROOT)
    pip("install", "-q", "-c", str(ROOT / "constraints.txt"), "-e", target)


def torch_pin() -> str:
    """The line `torch==...` of constraints.txt."""
    text = (ROOT / "constraints.txt").read_text("utf-8")
    found = re.search(r"^torch==\S+$", text, re.MULTILINE)
    if found is None:
        raise SystemExit("constraints.txt: no line torch==VERSION")
    return found.group()


def installed_torch() -> str | None:
    """Version of the installed PyTorch without its build tag, or None."""
    try:
        return importlib.metadata.version("torch").partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def install_torch(pin: str, *, cuda: bool) -> None:
    """Install PyTorch, without CUDA packages unless `cuda`."""
    if cuda or not brings_cuda(pin):
        pip("install", "-q", pin)
        return
    print(f"pip would install CUDA packages with {pin}; taking the CPU build instead", flush=True)
    pip("install", "-q", "uv")
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable,
         "--torch-backend", "cpu", pin],
        check=True,
    )  # fmt: skip


def brings_cuda(pin: str) -> bool:
    """Whether pip would install NVIDIA packages along with PyTorch here."""
    command = [
        sys.executable, "-m", "pip", "install", "--dry-run", "-q", "--ignore-installed",
        "--report", "-", pin,
    ]  # fmt: skip
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    names = [entry["metadata"]["name"].lower() for entry in report["install"]]
    return any(name.startswith(("nvidia-", "cuda-")) for name in names)


def pip(*arguments: str) -> None:
    """Run pip of this interpreter."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True
    )


if __name__ == "__main__":
    main()
