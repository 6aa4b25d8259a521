"""Clips, queries and prompts of an experiment, and what identifies them.

Invariant: prompts are held out. One that is the caption of a training clip is told, never silently
judged as if the model had not read it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from motive.clips import LABEL_COLUMNS, Clip, file_digest, read_dataset
from motive.clips.archive import stat_source
from motive.errors import ClipError, DatasetError, UsageError
from motive.experiment.config import MOTIONZOO, DataChoice
from motive.files import whole_file
from motive.generation import Prompt, PromptList, read_prompts
from motive.selection import parse_top

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_ZOO_SEED, _ZOO_SPLIT = 0, "test"
_ZOO_PROMPTS = 2000  # clips of the split whose captions are looked through


@dataclass(frozen=True)
class Group:
    """Queries and prompts that one model is for.

    Attributes:
        name: The motion; empty for all of them together.
        motions: Labels of the queries.
        queries: Clips.
        prompts: To generate from.
    """

    name: str
    motions: tuple[str, ...]
    queries: tuple[Clip, ...]
    prompts: PromptList


@dataclass(frozen=True)
class ExperimentData:
    """What the conditions share.

    Attributes:
        clips: To choose from, each with the digest of its file where it can be read.
        queries: Show the wanted motions.
        prompts: To generate from, with their motion in `facts` where it is known.
        notes: What a reader of the result should know about them, one line each.
    """

    clips: tuple[Clip, ...]
    queries: tuple[Clip, ...]
    prompts: PromptList
    notes: tuple[str, ...] = field(default=())

    @property
    def motions(self) -> list[str]:
        """Labels of the queries, in order of appearance."""
        return list(dict.fromkeys(clip.label for clip in self.queries if clip.label))

    @property
    def whole(self) -> Group:
        """Everything as one group."""
        return Group("", tuple(self.motions), self.queries, self.prompts)

    def groups(self, *, per_motion: bool) -> tuple[Group, ...]:
        """One group, or one per motion of the queries.

        Raises:
            UsageError: A query or prompt has no motion, or a motion has only one of the two.
        """
        if not per_motion:
            return (self.whole,)
        unlabelled = [clip.source for clip in self.queries if not clip.label]
        asked = [prompt_motion(prompt) for prompt in self.prompts.prompts]
        if unlabelled or None in asked:
            what = f"query {unlabelled[0]}" if unlabelled else f"prompt {asked.index(None) + 1}"
            raise UsageError(
                f"selection: per_motion: {what} has no motion; add a column motion, or set "
                "per_motion: false"
            )
        odd = {*self.motions} ^ {*asked}
        if odd:
            name = min(filter(None, odd))
            lacks = "prompt" if name in self.motions else "query"
            raise UsageError(
                f"selection: per_motion: no {lacks} for the motion {name!r}; add one, or name the "
                "motions to use under data: motions"
            )
        return tuple(self._group(motion) for motion in self.motions)

    def _group(self, motion: str) -> Group:
        prompts = tuple(p for p in self.prompts.prompts if prompt_motion(p) == motion)
        return Group(
            motion,
            (motion,),
            tuple(clip for clip in self.queries if clip.label == motion),
            PromptList(prompts),
        )

    def count_of(self, top: str) -> int:
        """Number of clips that a share or count means.

        Raises:
            UsageError: It is more than there are, or neither.
        """
        try:
            return parse_top(top, len(self.clips))
        except UsageError as error:
            raise UsageError(str(error).replace("--top", "selection: top", 1)) from None


def prompt_motion(prompt: Prompt) -> str | None:
    """The motion that a prompt's row names, if it names one."""
    columns = {str(name).lower(): value for name, value in prompt.facts.items()}
    found = (columns[name] for name in LABEL_COLUMNS if columns.get(name))
    return next((str(value) for value in found), None)


def load_data(choice: DataChoice, out: Path) -> ExperimentData:
    """Read everything that the conditions share.

    Args:
        choice: Which data.
        out: The experiment's folder; the clips inside the package are unpacked there.

    Raises:
        DatasetError: A list is missing, empty, or nothing is left of it.
        UsageError: A motion that no query or prompt has.
    """
    clips = read_dataset(_place(choice.clips, out, "candidates"))[: choice.first_clips]
    queries = read_dataset(_place(choice.queries, out, "queries"))
    queries = _chosen(
        [(clip.label, clip) for clip in queries],
        choice.motions, choice.queries_per_motion, f"queries: {choice.queries}",
    )  # fmt: skip
    memo = _Digests(out / "files.json")
    clips, queries = memo.fill_in(clips), memo.fill_in(queries)
    memo.write()
    captions = {_folded(clip.caption) for clip in clips}
    listed = _prompts(choice, captions)
    notes = [f"prompts: {note}" for note in listed.notes()]
    notes += _notes_about(clips, queries, listed, captions)
    return ExperimentData(tuple(clips), tuple(queries), listed, tuple(notes))


def zoo_prompts(motions: Sequence[str] | None, per_motion: int, avoid: set[str]) -> list[Prompt]:
    """Captions of MotionZoo's test split, as many per motion; no clip has to be rendered for them.

    The first five of each motion are those of the clips in the package.

    Args:
        motions: None takes all ten.
        per_motion: How many of each.
        avoid: Texts (case folded) that are left out, as training captions.
    """
    from motive.zoo.captions import caption
    from motive.zoo.factors import draw_factors
    from motive.zoo.make import MOTIONS, clip_generator

    wanted = tuple(motions or MOTIONS)
    strange = [motion for motion in wanted if motion not in MOTIONS]
    if strange:
        raise UsageError(
            f"data: motions: MotionZoo has no {strange[0]!r}; it has {', '.join(MOTIONS)}"
        )
    found: dict[str, list[Prompt]] = {motion: [] for motion in wanted}
    seen = set(avoid)
    for index in range(_ZOO_PROMPTS):
        motion = MOTIONS[index % len(MOTIONS)]
        if len(found.get(motion, range(per_motion))) >= per_motion:
            continue
        factors = draw_factors(clip_generator(_ZOO_SEED, _ZOO_SPLIT, index))
        text = caption(motion, factors, clip_generator(_ZOO_SEED, _ZOO_SPLIT, index, stream=3))
        if _folded(text) not in seen:
            seen.add(_folded(text))
            found[motion].append(Prompt(text, index + 1, {"motion": motion}))
    short = next((motion for motion, texts in found.items() if len(texts) < per_motion), None)
    if short is not None:
        raise UsageError(
            f"data: prompts_per_motion {per_motion}: MotionZoo has {len(found[short])} held-out "
            f"prompts for {short}"
        )
    return [prompt for motion in wanted for prompt in found[motion]]


def _place(name: str, out: Path, part: str) -> Path:
    if name != MOTIONZOO:
        return Path(name)
    from motive.zoo.pack import unpack_demo_clips

    return unpack_demo_clips(out / MOTIONZOO) / part


def _prompts(choice: DataChoice, captions: set[str]) -> PromptList:
    if choice.prompts == MOTIONZOO:
        per_motion = choice.prompts_per_motion or 5
        return read_prompts(zoo_prompts(choice.motions, per_motion, captions))
    listed = read_prompts(choice.prompts)
    chosen = _chosen(
        [(prompt_motion(prompt), prompt) for prompt in listed.prompts],
        choice.motions, choice.prompts_per_motion, f"prompts: {choice.prompts}",
    )  # fmt: skip
    # One column for the motion, whatever the list calls it.
    named = [
        dataclasses.replace(prompt, facts={**prompt.facts, "motion": prompt_motion(prompt)})
        for prompt in chosen
    ]
    return dataclasses.replace(listed, prompts=tuple(named))


def _chosen(
    items: Sequence[tuple[str | None, _T]],
    motions: Sequence[str] | None,
    per_motion: int | None,
    what: str,
) -> list[_T]:
    """The items with the wanted labels, the first of each label."""
    known = dict.fromkeys(label for label, _ in items if label)
    strange = [motion for motion in motions or () if motion not in known]
    if strange:
        raise UsageError(
            f"data: {what}: nothing is labelled {strange[0]!r} (labels: "
            f"{', '.join(known) or 'none'}); correct data: motions"
        )
    counts: Counter[str | None] = Counter()
    found = []
    for label, item in items:
        if motions is not None and label not in motions:
            continue
        counts[label] += 1
        if per_motion is None or counts[label] <= per_motion:
            found.append(item)
    if not found:
        raise DatasetError(f"data: {what}: nothing in it")
    return found


def _notes_about(
    clips: Iterable[Clip], queries: Sequence[Clip], listed: PromptList, captions: set[str]
) -> list[str]:
    notes = []
    known = [prompt for prompt in listed.prompts if _folded(prompt.text) in captions]
    if known:
        notes.append(
            f"{len(known)} of {len(listed.prompts)} prompts are captions of training clips (first: "
            f"row {known[0].row}, {known[0].text!r:.80}): they are not held out"
        )
    ids = {clip.digest for clip in clips if clip.digest}
    shared = sum(clip.digest in ids for clip in queries)
    if shared:
        notes.append(f"{shared} of {len(queries)} queries are training clips too: they rank first")
    for note in notes:
        _LOG.warning("%s", note)
    return notes


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


class _Digests:
    """Digests of files, read again only if a file's size or time of modification changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, list[object]] = {}
        if path.exists():
            try:
                self._known = dict(json.loads(path.read_text("utf-8")))
            except (OSError, ValueError, TypeError):
                _LOG.warning("%s: damaged; the files are read again", path)
        self._new: dict[str, list[object]] = {}

    def fill_in(self, clips: Sequence[Clip]) -> list[Clip]:
        """The clips with their digests; one that cannot be read stays as it is, for later."""
        return [self._one(clip) for clip in clips]

    def _one(self, clip: Clip) -> Clip:
        if not clip.source:
            return clip
        try:
            stat = stat_source(clip.source)
            key = [stat.size, stat.modified_ns]
            known = self._known.get(clip.source)
            text = str(known[2]) if known and known[:2] == key else file_digest(clip.source).hex()
        except (ClipError, OSError):
            return clip
        self._new[clip.source] = [*key, text]
        return dataclasses.replace(clip, digest=bytes.fromhex(text))

    def write(self) -> None:
        """Keep what is known for the next time.

        Raises:
            MotiveError: The disk is full.
        """
        if self._new != self._known:
            with whole_file(self.path) as partial:
                partial.write_text(json.dumps({**self._known, **self._new}) + "\n", "utf-8")
