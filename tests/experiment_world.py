"""A tiny model, twelve labelled clips of moving squares, and an experiment that takes seconds."""

import yaml

from motive.experiment import read_experiment, run_experiment
from motive.experiment.about import About, ConditionFacts
from motive.experiment.results import JudgedVideo
from moving_squares import small_model, square_videos, write_list

MOTIONS = ("spin", "bounce", "roll")


class World:
    """Where the tests experiment: `world.config(...)` reads a YAML file with changes on top."""

    def __init__(self, root, tiny_wan):
        self.root = root
        small_model(tiny_wan, root / "model")
        for name, kinds in (("videos", range(12)), ("queries", (21, 22))):
            square_videos(root / name, kinds)
            rows = [
                {
                    "video": path.name,
                    "prompt": path.with_suffix(".txt").read_text(),
                    "motion": MOTIONS[number % (3 if name == "videos" else 2)],
                    "decoy": "static" if path.stem == "square5" else None,
                }
                for number, path in enumerate(sorted((root / name).glob("*.mp4")))
            ]
            write_list(root / name / "metadata.jsonl", rows)
        write_list(
            root / "prompts.jsonl",
            [
                {"prompt": f"a square that {motion}s to the {way}", "motion": motion}
                for way in ("left", "right")
                for motion in ("spin", "bounce")
            ],
        )

    def options(self, **changes):
        given = {
            "title": "Squares",
            "model": "model",
            "device": "cpu",
            "seeds": [0, 1],
            "data": {"clips": "videos", "queries": "queries", "prompts": "prompts.jsonl"},
            "conditions": ["base", "full", "random", "motive"],
            "selection": {"top": "25%", "encoder": None},
            "features": {"dim": 64, "block": 4096},
            "finetune": {"steps": 2, "learning_rate": 1e-3, "batch": 2},
            "generate": {"steps": 1, "guidance": 1, "batch": 4},
            "evaluate": {"metrics": ["dynamic_margin_dis", "flicker"]},
        }
        for name, value in changes.items():
            below = given.get(name)
            given[name] = {**below, **value} if isinstance(below, dict) else value
        return given

    def write(self, **changes):
        path = self.root / "experiment.yaml"
        path.write_text(yaml.safe_dump(self.options(**changes), sort_keys=False), "utf-8")
        return path

    def config(self, *, quick=False, **changes):
        return read_experiment(self.write(**changes), quick=quick)

    def run(self, out, **changes):
        """One call; returns what it is about and what it told."""
        calls = {n: changes.pop(n) for n in ("workers", "only", "prune") if n in changes}
        told = []
        about = run_experiment(self.config(**changes), out, tell=told.append, **calls)
        return about, told


def facts(name, by=None, **more):
    """A row of the table."""
    values = {
        "title": name.capitalize(), "clips": 0 if name == "base" else 4, "models": 2,
        "wanted": 0.5, "still": 0.0, "decoys": 0.0, "shared": 0.0,
        "losses": [(1.0, 0.5), (2.0, 0.4)],
    }  # fmt: skip
    return ConditionFacts(name=name, by=by or name, **{**values, **more})


def invented_results(values, key="motion_shown", prompts=12, seeds=(0, 1), main="motive", **more):
    """An experiment that never ran: what it is about, and its videos.

    `values` is condition -> a number per (prompt, seed), prompts varying first.
    """
    texts = [(f"prompt {i}", ("spin", "bounce")[i % 2]) for i in range(prompts)]
    plain = {
        "title": "Invented", "model": "m", "quick": False, "motions": ["spin", "bounce"],
        "per_motion": False,
        "clips": 12, "queries": 2, "updates": 6, "per_update": 2, "rate": 1e-3,
        "trained": "all weights", "sampling": "5 frames of 32x32 at 8 fps", "fps": 8.0,
        "size": (32, 32), "cautions": [], "notes": [], "broken": [], "seconds": {},
        "settings": {}, "versions": {}, "command": "motive experiment run",
    }  # fmt: skip
    about = About(
        main=main, seeds=list(seeds), prompts=texts, metrics=[key],
        conditions=[facts(name) for name in values], **{**plain, **more},
    )  # fmt: skip
    videos = [
        JudgedVideo(name, text, motion, seed, f"generate/{name}/{i}-{seed}.mp4",
                    {key: float(numbers[k * prompts + i])}, {})
        for name, numbers in values.items()
        for k, seed in enumerate(seeds)
        for i, (text, motion) in enumerate(texts)
    ]  # fmt: skip
    return about, videos
