"""Numbers as text, and what they answer in sentences.

Invariant: a difference that was not shown is said to be not shown; it is called neither better nor
equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from motive.bench.findings import Finding
from motive.evaluation.metrics import BY_KEY, Metric
from motive.experiment.about import About, ConditionFacts
from motive.experiment.results import FEWEST_PROMPTS, FEWEST_SEEDS, ResultDifference, Results
from motive.report import Estimate

NONE = "\N{EN DASH}"
#: Heading of the precision of a choice, which explains the columns beside it.
WANTED = "chosen clips with the wanted motion, %"
_QUESTIONS = {
    "base": "Does fine-tuning on its clips help at all?",
    "full": "Does it match training on all clips?",
    "random": "Is it better than random clips?",
    "magnitude": "Is it better than taking what moves most?",
    "embedding": "Is it better than taking what looks alike?",
    "no-mask": "Does the motion mask help?",
    "labelled": "How far is it from knowing the motions?",
}
_ORDER = (*_QUESTIONS, "")
_PRECISION = [
    "Chosen clips with the wanted motion: how many of a condition's clips carry the label of the "
    "motion that its model is asked for. No method is told the labels, except where its name says "
    "so; where few of the clips have the motion, a model cannot learn it from them."
]


def scaled(metric: Metric, value: float) -> float:
    """As the table shows it: times 100 where papers print percents."""
    return 100 * value if metric.percent else value


def number(
    metric: Metric, value: float, *, signed: bool = False, beside: Sequence[float] = ()
) -> str:
    """One number with a real minus, and digits that also suit the numbers beside it."""
    size = max(abs(value), *map(abs, beside)) if beside else abs(value)
    digits = 1 if metric.percent else 2 if size >= 0.1 or size == 0 else 4
    text = format(round(scaled(metric, value), digits) + 0.0, f"{'+' if signed else ''}.{digits}f")
    return text.replace("-", "\N{MINUS SIGN}")


def interval(metric: Metric, estimate: Estimate, *, signed: bool = False) -> str:
    """`[35.1, 47.0]`, or nothing where no interval is known."""
    if estimate.low is None or estimate.high is None:
        return ""
    both = (estimate.low, estimate.high)
    ends = (number(metric, end, signed=signed, beside=(estimate.value, *both)) for end in both)
    return f"[{', '.join(ends)}]"


def estimate_text(key: str, estimate: Estimate | None, *, signed: bool = False) -> str:
    """`41.0 [35.1, 47.0]`; an en dash where nothing was measured."""
    if estimate is None:
        return NONE
    metric = BY_KEY[key]
    ends = [end for end in (estimate.low, estimate.high) if end is not None]
    value = number(metric, estimate.value, signed=signed, beside=ends)
    return f"{value} {interval(metric, estimate, signed=signed)}".strip()


def heading(key: str) -> str:
    """Title of a metric with an arrow to where it is better."""
    metric = BY_KEY[key]
    return metric.title + {1: " ↑", -1: " ↓", 0: ""}[metric.better]


def is_labelled(about: About) -> bool:
    """Whether it is known which clips have the wanted motions."""
    return any(facts.wanted is not None for facts in about.conditions)


def wanted_text(facts: ConditionFacts) -> str:
    """Precision of a choice in percent; an en dash where nothing was chosen."""
    return f"{100 * facts.wanted:.0f}" if facts.clips and facts.wanted is not None else NONE


def verdict(found: ResultDifference) -> str:
    """What a difference says of the main condition: "good", "bad", or "open" (not shown)."""
    better = BY_KEY[found.key].better
    if not found.shown or not better:
        return "open"
    return "good" if found.estimate.value * better > 0 else "bad"


def findings(results: Results) -> list[Finding]:
    """The headline metric's answer to each comparison with the main condition."""
    if not results.question:
        return []
    about, found = results.about, []
    others = [facts for facts in about.conditions if facts.name != about.main]
    others.sort(key=lambda facts: _ORDER.index(facts.by if facts.by in _QUESTIONS else ""))
    for facts in others:
        difference = results.difference(facts.name, results.question)
        if difference is not None:
            control = facts.by == about.condition(about.main).by
            asked = _QUESTIONS.get(facts.by, f"Against {facts.title}?")
            asked = f"Is it better than {facts.title}?" if control else asked
            found.append(Finding(asked, *_answer(results, facts.title, difference)))
    return found


def _answer(results: Results, other: str, found: ResultDifference) -> tuple[str, str, str]:
    """(number, sentence, tone)."""
    metric, about = BY_KEY[found.key], results.about
    main = about.condition(about.main).title
    here, there = (results.cell(name, found.key) for name in (about.main, found.other))
    values = " against ".join(
        f"{cell.estimate.value:.1%}" if metric.percent else number(metric, cell.estimate.value)
        for cell in (here, there)
        if cell is not None
    ).replace("%", " %")
    change = estimate_text(found.key, found.estimate, signed=True)
    text = f"{main} against {other}: {metric.title} {values}, difference {change}. "
    tone = verdict(found)
    if tone == "open":
        text += _not_shown(found)
    else:
        text += f"{main} is {'better' if tone == 'good' else 'worse'}; every training seed agrees."
    return number(metric, found.estimate.value, signed=True), text, tone


def _not_shown(found: ResultDifference) -> str:
    low, high = found.estimate.low, found.estimate.high
    if low is None or high is None or found.prompts < FEWEST_PROMPTS:
        return f"Not shown: {found.prompts} prompts are too few."
    if low * high > 0 and len(found.seeds) < FEWEST_SEEDS:
        return "Not shown: one training seed is too few."
    if low * high <= 0:
        return "Not shown, in neither direction: the interval holds zero."
    return "Not shown: the training seeds do not agree on the sign."


def notes(results: Results) -> list[str]:
    """What the numbers rest on, and how to read them."""
    about = results.about
    quick = ["A quick run: it shows that everything works. Do not quote its numbers."]
    single = ["One training seed: what another training would give is not known."]
    said = [
        *(quick if about.quick else []),
        *_made(about),
        *(_PRECISION if is_labelled(about) else []),
        *_reading(about),
        *(single if len(about.seeds) == 1 else []),
        *about.notes,
        *about.cautions,
    ]
    return [note[:1].upper() + note[1:] for note in said]


def _made(about: About) -> list[str]:
    """How many of everything."""
    seeds, prompts = len(about.seeds), len(about.prompts)
    said = [
        f"{prompts} held-out prompts x {seeds} training seed{'s' if seeds > 1 else ''}: "
        f"{prompts * seeds} videos per condition. {about.sampling}.",
        f"Every fine-tuning: {about.updates} updates of {about.per_update} clips, learning rate "
        f"{about.rate:g}, {about.trained}, whatever the number of clips; from {about.model}.",
        f"Clips are chosen from {about.clips} for {about.queries} queries"
        + (f" that show {_listed(about.motions)}." if about.motions else "."),
    ]
    if about.per_motion:
        said.append(
            "A choice that looks at queries is made for each motion alone, and each has a model "
            "of its own; one that does not (full, random, magnitude) has one model per seed."
        )
    return said


def _reading(about: About) -> list[str]:
    """What intervals and differences are."""
    return [
        "Intervals are 95 %, bootstrapped over prompts with all videos of a prompt together "
        "(expanded for few prompts, Hesterberg 2015); those of shares also cover Wilson's, "
        "and Agresti and Min's (2005) for differences. They hold for these training seeds: another "
        "training may differ by more than another prompt.",
        f"Differences are {about.condition(about.main).title} minus the other over videos of the "
        "same prompt and seed, which start from the same noise. One counts as shown if its "
        f"interval excludes zero, all training seeds ({FEWEST_SEEDS} or more) agree on its sign, "
        f"and at least {FEWEST_PROMPTS} prompts were asked. Not corrected for "
        f"{len(about.conditions) - 1} comparisons.",
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
