"""Modules that need packages which are not installed are not collected for doctests."""

from importlib.util import find_spec

collect_ignore = [
    path
    for package, paths in {
        "numba": ("cpu_kernels.py", "vectors.py"),
        "triton": ("gpu_kernels.py",),
    }.items()
    if find_spec(package) is None
    for path in (f"src/motive/projection/{name}" for name in paths)
]
