"""Runs in the environment of the `vbench` package, not in MOTIVE's: one dimension at a time.

    python official_driver.py REQUEST.json

The request names the videos' folder, the dimension, the output folder, the device and the name of
the result. Only the standard library and vbench are imported here.
"""

import inspect
import json
import sys
from importlib import metadata


def main() -> int:
    """Evaluate one dimension; vbench writes OUT/NAME_eval_results.json itself."""
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    from vbench import VBench  # type: ignore[import-not-found]

    if request["processes"] > 1:
        from vbench.distributed import dist_init  # type: ignore[import-not-found]

        dist_init()
    import torch

    judge = VBench(torch.device(request["device"]), "", request["out"])
    options = {
        "videos_path": request["videos"],
        "name": request["name"],
        "dimension_list": [request["dimension"]],
        "mode": "custom_input",
        "local": request["local"],
    }
    known = inspect.signature(judge.evaluate).parameters
    # The published wheel is older than the repository and knows fewer options.
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        options = {name: value for name, value in options.items() if name in known}
    judge.evaluate(**options)
    try:
        version = metadata.version("vbench")
    except metadata.PackageNotFoundError:  # a checkout that was not installed
        version = "not installed as a package"
    with open(request["version_file"], "w", encoding="utf-8") as file:
        file.write(version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
