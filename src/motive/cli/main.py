"""Entry point: parse, run one command, turn errors into one line and an exit code."""

from __future__ import annotations

import io
import logging
import os
import sys
from importlib import metadata

from cyclopts import App, CycloptsError

from motive.errors import MotiveError, UsageError

OK, FAILED, WRONG_USE = 0, 1, 2

app = App(
    name="motive",
    help="Which training clips influence the motion in generated videos?",
    version=lambda: f"motive {metadata.version('motive-video')}",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` says how to continue
)


def _register() -> None:
    from motive.cli import bench, experiment, ranking, study, zoo
    from motive.cli.demo import demo
    from motive.cli.diagnose import diagnose_command
    from motive.cli.doctor import doctor
    from motive.cli.evaluate import evaluate
    from motive.cli.export import export
    from motive.cli.finetune import finetune
    from motive.cli.generate import generate
    from motive.cli.motion import motion

    app.command(demo)
    app.command(doctor)
    app.command(diagnose_command, name="diagnose")
    app.command(motion)
    app.command(ranking.index)
    app.command(ranking.rank)
    app.command(ranking.select)
    app.command(export)
    app.command(finetune)
    app.command(generate)
    app.command(evaluate)
    app.command(ranking.report)
    app.command(zoo.app)
    app.command(bench.app)
    app.command(experiment.app)
    app.command(study.app)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0: fine. 1: the work failed. 2: the call was wrong.
    """
    tokens = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in tokens
    from motive.cli.console import ERR, set_up_logging

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter is no failure
            stream.reconfigure(errors="backslashreplace")
    set_up_logging(debug)
    _register_once()
    try:
        app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(error, debug, f"{_one_line(error)} (see motive --help)", WRONG_USE)
    except UsageError as error:
        return _fail(error, debug, str(error), WRONG_USE)
    except MotiveError as error:
        return _fail(error, debug, str(error), FAILED)
    except KeyboardInterrupt:
        ERR.print("interrupted; run the same command again to continue", markup=False)
        return FAILED
    except BrokenPipeError:  # `motive ... | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # noqa: BLE001 - the last stop: one line for people, never silence
        text = f"unexpected {type(error).__name__}: {_one_line(error)} (--debug shows where)"
        return _fail(error, debug, text, FAILED)
    return OK


def _register_once() -> None:
    if "demo" not in app:
        _register()


def _fail(error: BaseException, debug: bool, text: str, code: int) -> int:
    from motive.cli.console import ERR

    if debug:
        logging.getLogger("motive").error("traceback", exc_info=error)
    ERR.print(
        f"motive: {' '.join(text.splitlines())}", markup=False, soft_wrap=True, style="bold red"
    )
    return code


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


def _entry() -> None:
    sys.exit(main())


if __name__ == "__main__":
    _entry()
