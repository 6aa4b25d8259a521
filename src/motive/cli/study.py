"""`motive study new`, `links`, `serve` and `report`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from motive.cli.console import ERR, emit, progress_bars
from motive.cli.options import Common, named_values
from motive.errors import UsageError

if TYPE_CHECKING:  # --help needs none of it
    from motive.study import Annotator, Serving, StudyPlan, StudyResults

app = App(name="study", help="Blind pairwise human study: which of two videos moves better?")

_ADDRESS = "http://127.0.0.1:8765"


@app.command
def new(
    study: Path,
    *,
    conditions: Annotated[
        list[str] | None,
        Parameter(
            help="NAME=FOLDER of videos named by prompt id; the first is compared with the others.",
            consume_multiple=True,
            negative_iterable=(),
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        Parameter(help='JSONL: {"id": ..., "prompt": ..., "motion": ...} [the videos\' names].'),
    ] = None,
    plan: Annotated[
        Path | None, Parameter(help="YAML with these options instead; others go on top.")
    ] = None,
    annotators: Annotated[
        list[str] | None,
        Parameter(
            help="How many, or their names [1].", consume_multiple=True, negative_iterable=()
        ),
    ] = None,
    main: Annotated[str | None, Parameter(help="The condition to compare [the first].")] = None,
    every_pairing: Annotated[
        bool, Parameter(help="Compare all conditions with each other.", negative="")
    ] = False,
    checks: Annotated[
        int | None, Parameter(help="Attention checks per annotator [1 per 25 pairs, at least 2].")
    ] = None,
    question: Annotated[str | None, Parameter(help="Asked about every pair.")] = None,
    title: Annotated[str | None, Parameter(help="Shown to annotators.")] = None,
    seed: Annotated[int | None, Parameter(help="Of order and sides [0].")] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Make a study: check and copy the videos, lay out the pairs, make a link per annotator.

    Every prompt becomes one pair per pairing. The videos are copied without names, sound or
    metadata; order and sides are drawn for each annotator from the seed and their name.

    For example:

        motive study new studies/a --conditions motive=out/motive base=out/base --annotators 17
        motive study new studies/b --conditions motive=m base=b --prompts prompts.jsonl
        motive study new studies/c --plan study.yaml

    Args:
        study: Folder of the study; must not exist.
    """
    from motive.study import StudyStore, create_study

    given: dict[str, Any] = {
        "main": main, "every_pairing": every_pairing or None, "checks": checks,
        "question": question, "title": title, "seed": seed,
        "annotators": _names(annotators) if annotators else None,
    }  # fmt: skip
    wanted = replace(
        _plan(plan, conditions, prompts), **{k: v for k, v in given.items() if v is not None}
    )
    with progress_bars(common.json) as bars:
        warnings = create_study(
            wanted, study, on_progress=lambda done, total: bars("copying videos", done, total)
        )
    for warning in warnings:
        ERR.print(f"warning: {warning}", markup=False, soft_wrap=True)
    with StudyStore(study) as store:
        people = store.annotators()
    pairs = people[0].total if people else 0
    lines = [
        f"{study}: {pairs} pairs (checks included) for each of {len(people)} annotators",
        f"next: motive study serve {study}",
    ]
    result = {
        "study": str(study),
        "pairs": pairs,
        "annotators": [person.name for person in people],
        "warnings": warnings,
    }
    emit(result, common.json, lines)


def _plan(plan: Path | None, conditions: list[str] | None, prompts: Path | None) -> StudyPlan:
    """The plan of a YAML file or of the options."""
    from motive.study import StudyPlan, condition_folders, read_plan, read_prompts

    if plan is not None and conditions:
        raise UsageError("give either --plan or --conditions; the plan names its conditions")
    if plan is not None:
        made = read_plan(plan)
    elif conditions:
        pairs = named_values(conditions, "--conditions", "motive=out/motive")
        made = StudyPlan(condition_folders(pairs))
    else:
        raise UsageError("what is compared? give --conditions NAME=FOLDER NAME=FOLDER, or --plan")
    made = replace(made, annotators=made.annotators or _names(["1"]))
    return made if prompts is None else replace(made, prompts=read_prompts(prompts))


def _names(given: list[str], after: int = 0) -> list[str]:
    """Annotator names; a single number stands for so many numbered ones."""
    from motive.study import numbered_annotators

    if len(given) == 1 and given[0].lstrip("-").isdigit():
        return numbered_annotators(int(given[0]), after=after)
    return given


@app.command
def links(
    study: Path,
    *,
    add: Annotated[
        list[str] | None,
        Parameter(
            help="Add annotators first: how many, or their names; also while serving.",
            consume_multiple=True,
            negative_iterable=(),
        ),
    ] = None,
    url: Annotated[str, Parameter(help="Address under which the study is served.")] = _ADDRESS,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Show every annotator's own link and how far they are; add annotators.

    For example:

        motive study links studies/a
        motive study links studies/a --add clara dora --url https://study.example.org

    Args:
        study: A study folder.
    """
    from urllib.parse import urlsplit

    from motive.study import StudyStore, annotator_link
    from motive.study.serving import is_this_machine

    with StudyStore(study) as store:
        if add:
            store.add_annotators(_names(add, after=len(store.annotators())))
        people = store.annotators()
        elsewhere = not is_this_machine(urlsplit(url).hostname or "")
        token = store.facts["token"] if elsewhere else None
    shown = {person.name: annotator_link(url.rstrip("/"), person, token) for person in people}
    emit(
        {"study": str(study), "annotators": _listed(people, shown)},
        common.json,
        _link_lines(people, shown),
    )


def _listed(people: list[Annotator], shown: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": p.name, "link": shown[p.name], "done": p.done, "total": p.total} for p in people
    ]


def _link_lines(people: list[Annotator], shown: dict[str, str]) -> list[str]:
    width = max((len(person.name) for person in people), default=0)
    return [f"{p.name:{width}s}  {p.done:4d} of {p.total}  {shown[p.name]}" for p in people]


@app.command
def serve(
    study: Path,
    *,
    host: Annotated[
        str, Parameter(help="Address to listen at; 0.0.0.0 lets other machines in, by token.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes a free one.")] = 8765,
    token: Annotated[
        str | None,
        Parameter(help="Asked of every request [elsewhere than here: one made with the study]."),
    ] = None,
    public_url: Annotated[
        str | None, Parameter(help="How annotators reach it through a tunnel or proxy.")
    ] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Serve a study to its annotators until Ctrl+C; nothing is lost by stopping or killing it.

    Only this machine can reach it unless --host says otherwise; then every link holds a token.

    For example:

        motive study serve studies/a
        motive study serve studies/a --host 0.0.0.0
        motive study serve studies/a --public-url https://study.example.org

    Args:
        study: A study folder.
    """
    from motive.study import serve_study

    def tell(serving: Serving) -> None:
        shown = {person.name: serving.link(person) for person in serving.annotators}
        lines = [f"serving {study} at {serving.address}; Ctrl+C stops, answers are saved at once"]
        emit(
            {
                "study": str(study),
                "address": serving.address,
                "annotators": _listed(serving.annotators, shown),
            },
            common.json,
            lines + _link_lines(serving.annotators, shown),
        )
        sys.stdout.flush()

    try:
        serve_study(study, host=host, port=port, token=token, public_url=public_url, on_ready=tell)
    except KeyboardInterrupt:
        ERR.print("stopped; serve it again and the same links continue", markup=False)


@app.command
def report(
    study: Path,
    *,
    out: Annotated[Path | None, Parameter(help="Folder of the report [STUDY/report].")] = None,
    most_failed: Annotated[
        float | None,
        Parameter(help="Leave out who failed more than this share of attention checks [nobody]."),
    ] = None,
    seed: Annotated[int, Parameter(help="Of the resampling.")] = 0,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Win, tie and loss with intervals, per motion; agreement, ranking, checks; CSV and a page.

    May be run at any time, also while the study is served.

    For example:

        motive study report studies/a
        motive study report studies/a --most-failed 0.34 --out reports/a

    Args:
        study: A study folder.
    """
    from motive.study import StudyStore, study_results, write_results
    from motive.study.results import results_json

    folder = out or study / "report"
    with StudyStore(study) as store:
        results = study_results(store, most_failed=most_failed, seed=seed)
    files = write_results(results, folder)
    lines = [*_result_lines(results), f"written: {', '.join(map(str, files))}"]
    emit(results_json(results) | {"files": [str(path) for path in files]}, common.json, lines)


def _result_lines(results: StudyResults) -> list[str]:
    """What people see on the terminal."""
    counted = sum(person.counted and person.done > 0 for person in results.annotators)
    lines = [
        f"{results.comparisons} judgements by {counted} of {len(results.annotators)} annotators"
    ]
    for tally in results.tallies:
        if tally.motion:
            continue
        parts = []
        for name, part in tally.parts.items():
            interval = part.both or part.annotators or part.share
            ends = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
            parts.append(f"{name} {100 * part.share.value:.1f} % {ends}")
        lines.append(f"{tally.first} against {tally.second}: {', '.join(parts)}")
    lines += [
        f"agreement on {entry.first} against {entry.second}: Fleiss' kappa {entry.kappa:.2f}, "
        f"Krippendorff's alpha {entry.alpha:.2f}"
        for entry in results.agreement
        if entry.kappa is not None and entry.alpha is not None
    ]
    places = [f"{entry.condition} {entry.strength:+.2f}" for entry in results.ranking]
    lines.append(f"Bradley-Terry, log-odds: {', '.join(places) or 'nothing to rank'}")
    for person in results.annotators:
        if person.failed or not person.counted:
            what = "counted" if person.counted else "left out"
            lines.append(
                f"{person.name}: failed {person.failed} of {person.checks} attention checks, {what}"
            )
    return lines
