"""The installer never brings CUDA packages unasked."""

import importlib.util
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def install(monkeypatch):
    """The installer with every subprocess recorded and none run."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    calls = []
    report = {"install": []}

    def record(command, **_options):
        calls.append(" ".join(map(str, command)))
        return SimpleNamespace(stdout=json.dumps(report), returncode=0)

    monkeypatch.setattr(subprocess, "run", record)
    return SimpleNamespace(module=module, calls=calls, report=report)


def would_bring(install, *names):
    install.report["install"] = [{"metadata": {"name": name}} for name in names]


def test_torch_is_pinned_exactly_and_the_tests_run_with_that_version(install):
    import torch

    pin = install.module.torch_pin()
    assert pin.startswith("torch==")
    assert torch.__version__.partition("+")[0] == pin.removeprefix("torch==")


def test_a_plain_build_is_installed_by_pip(install):
    would_bring(install, "torch", "sympy")
    install.module.install_torch("torch==9.9", cuda=False)
    assert install.calls[-1].endswith("install -q torch==9.9")
    assert not any(" uv " in call for call in install.calls)


@pytest.mark.parametrize("package", ["nvidia-cublas", "NVIDIA-cudnn-cu13", "cuda-toolkit"])
def test_a_build_with_cuda_is_replaced_by_the_cpu_build(install, package):
    would_bring(install, "torch", package)
    install.module.install_torch("torch==9.9", cuda=False)
    assert "--torch-backend cpu torch==9.9" in install.calls[-1]
    assert not any(call.endswith("install -q torch==9.9") for call in install.calls)


def test_cuda_is_installed_when_asked_for(install):
    would_bring(install, "torch", "nvidia-cublas")
    install.module.install_torch("torch==9.9", cuda=True)
    assert len(install.calls) == 1
    assert install.calls[0].endswith("install -q torch==9.9")


def test_no_constraint_or_requirement_names_torchvision():
    # Beside a CPU build of PyTorch it breaks the imports of diffusers and transformers.
    for name in ("pyproject.toml", "constraints.txt"):
        assert "torchvision" not in (ROOT / name).read_text("utf-8")
