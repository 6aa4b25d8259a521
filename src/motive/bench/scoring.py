"""Score matrices of methods, cached under everything that decides their numbers.

Invariant: a cached matrix is used only for the same clips, model, view, method settings and code;
so nothing that is good is computed twice, and nothing stale is ever shown.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import time
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from motive.backbones import TensorCache
from motive.backbones.cache import cache_key
from motive.bench.context import Bench
from motive.bench.methods import FromFile, Method
from motive.bench.retrieval import check_scores
from motive.bench.views import View

_KIND = "scores"
_ROOT = "motive"


class Scored(NamedTuple):
    """A score matrix and what it took.

    Attributes:
        scores: float64 "q n".
        seconds: Time of the computation that made it; 0 from a file.
        cached: Whether it was there already.
    """

    scores: np.ndarray
    seconds: float
    cached: bool


class ScoreBook:
    """Computes every method's scores once per view.

    Args:
        bench: The problem through a model; its cache folder also holds the matrices.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.cache = TensorCache(bench.cache)

    def scores(self, method: Method, view: View = "moving") -> Scored:
        """The method's scores on a view of the clips, from the cache if they are there.

        Raises:
            UsageError: The method's scores have the wrong shape or are not finite.
        """
        if isinstance(method, FromFile):  # the file may change between runs
            return Scored(method.scores(self.bench), 0.0, False)
        key = self._key(method, view)
        found = self.cache.get(_KIND, key)
        if found is not None:
            return Scored(found[0]["scores"].numpy(), float(found[1]["seconds"]), True)
        began = time.perf_counter()
        bench = self.bench if view == "moving" else self.bench.view(view)
        scores = np.asarray(method.scores(bench), dtype=np.float64)
        check_scores(scores, self.bench.problem, method.name)
        seconds = time.perf_counter() - began
        facts = {"seconds": seconds, "method": method.key, "view": view}
        self.cache.put(_KIND, key, {"scores": torch.from_numpy(scores)}, facts)
        return Scored(scores, seconds, False)

    def _key(self, method: Method, view: View) -> str:
        work = self.bench.work
        return cache_key(
            self.bench.problem.digest(),
            self.bench.backbone.fingerprint(),
            vars(work.standard),
            work.setting.config.motion_config().settings,
            work.setting.config.block,
            self.bench.seed,
            method_identity(method),
            view,
        )


def method_identity(method: Method) -> str:
    """16 hex digits from a method's settings and the source of every module of ours it builds on.

    Its own file counts, those of the estimators and gradients it uses, and whatever these import;
    another method's file does not.
    """
    settings = {
        name: value if not callable(value) else f"{value.__module__}.{value.__qualname__}"
        for name, value in sorted(vars(method).items())
    }
    modules = {type(method).__module__}
    modules |= {value.__module__ for value in vars(method).values() if callable(value)}
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=8)
    for name in sorted(_reached(frozenset(modules))):
        digest.update(_source(name).encode())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _reached(modules: frozenset[str]) -> frozenset[str]:
    """These modules, and the ones of this package whose names they use, and so on."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        name = waiting.pop()
        found.add(name)
        for value in vars(sys.modules[name]).values():
            # Only what a module can be asked for by name: classes, functions, other modules.
            owner = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
            ours = isinstance(owner, str) and owner.partition(".")[0] == _ROOT
            if ours and owner not in found and owner in sys.modules:
                waiting.add(owner)
    return frozenset(found)


@lru_cache(maxsize=256)
def _source(module: str) -> str:
    """Source of a module; its name where there is none (a method typed into a notebook)."""
    try:
        return inspect.getsource(sys.modules[module])
    except (OSError, TypeError):
        return module
