"""The study's web application: one page, and the five requests that the page makes.

Invariant: nothing that leaves the server tells a condition. Pairs have random ids, videos are
reached by pair and side, and no response carries a file name, the time of a file or the id of a
prompt.
"""

from __future__ import annotations

import hmac
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from motive.errors import MotiveError, UsageError
from motive.study.page import annotator_page, message_page, page_policy
from motive.study.records import (
    StorageError,
    UnknownAnnotatorError,
    UnknownTrialError,
    Vote,
    VoteConflictError,
)
from motive.study.store import StudyStore

if TYPE_CHECKING:  # an optional package, and no other command should wait for it
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_LOG = logging.getLogger(__name__)

MOST_COMMENT = 2000  # characters
KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
_MOST_BODY = 64 << 10  # bytes
_MOST_SECONDS = 86_400.0
_STATUS: dict[type[MotiveError], int] = {
    UnknownAnnotatorError: 404,
    UnknownTrialError: 404,
    VoteConflictError: 409,
    StorageError: 503,
    UsageError: 422,
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the annotator's key
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_TOKEN = "this study wants its token; open the link exactly as you received it"  # noqa: S105
_NO_HOST = "this study answers under its own address only"
_NOTHING = "there is nothing here; open your personal link"

_Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def study_app(
    store: StudyStore,
    *,
    token: str | None = None,
    hosts: set[str] | None = None,
    lifespan: _Lifespan | None = None,
) -> Starlette:
    """The web application of an open study.

    Args:
        store: The study.
        token: What every request must show, in the query or as a bearer token; None asks for none.
        hosts: Host names under which it answers (against pages that rebind their name to this
            machine); None answers under any.
        lifespan: What to do around the application's life, as Starlette takes it.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    title = store.facts["title"]

    def refusal(request: Request, status: int, text: str) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(message_page(title, text), status)
        return JSONResponse({"error": text}, status)

    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        text = _refused(request, token, hosts)
        response = await answer(request) if text is None else refusal(request, 403, text)
        response.headers.update(_HEADERS)
        if response.headers.get("content-type", "").startswith("text/html"):
            response.headers["Content-Security-Policy"] = page_policy()
        return response

    def failed(request: Request, error: Exception) -> Response:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        if status >= 500:
            _LOG.error("%s", error)
            # Paths of the machine are for its owner.
            return refusal(request, status, "the study cannot be reached just now; try again")
        return refusal(request, status, str(error))

    def unknown(request: Request, _: Exception) -> Response:
        return refusal(request, 404, _NOTHING)

    answers = _Answers(store)
    return Starlette(
        routes=[
            Route("/a/{key}", answers.page),
            Route("/a/{key}/standing", answers.standing),
            Route("/a/{key}/videos/{trial}/{side}", answers.video),
            Route("/a/{key}/votes/{trial}", answers.vote, methods=["PUT"]),
            Route("/a/{key}/undos/{trial}", answers.undo, methods=["PUT"]),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={MotiveError: failed, 404: unknown},
        lifespan=lifespan,
    )


class _Answers:
    """What each address answers. SQLite waits for the disk, so it is asked in threads."""

    def __init__(self, store: StudyStore) -> None:
        self._store = store
        self._page = annotator_page(store.facts["title"], store.facts["question"], MOST_COMMENT)

    def page(self, request: Request) -> Response:
        """The page; it asks for everything else."""
        from starlette.responses import HTMLResponse

        self._name(request)
        return HTMLResponse(self._page)

    def standing(self, request: Request) -> Response:
        """Where the annotator is."""
        from starlette.responses import JSONResponse

        return JSONResponse(asdict(self._store.standing(self._name(request))))

    def video(self, request: Request) -> Response:
        """One video of a pair."""
        from starlette.responses import FileResponse

        place = request.path_params
        path = self._store.video(self._name(request), place["trial"], place["side"])
        response = FileResponse(path, media_type="video/mp4", stat_result=path.stat())
        for name in ("etag", "last-modified"):  # both tell when a file was made
            del response.headers[name]
        return response

    async def vote(self, request: Request) -> Response:
        """Count a judgement, once."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse

        sent = vote_from(await _body(request))

        def count() -> dict[str, Any]:
            name = self._name(request)
            counted = self._store.vote(name, request.path_params["trial"], sent)
            return {"counted": counted, "standing": asdict(self._store.standing(name))}

        return JSONResponse(await run_in_threadpool(count))

    async def undo(self, request: Request) -> Response:
        """Take a judgement back, once."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse

        key = event_key(await _body(request))

        def take_back() -> dict[str, Any]:
            name = self._name(request)
            before = self._store.undo(name, request.path_params["trial"], key)
            kept = None if before is None else {"choice": before.choice, "comment": before.comment}
            return {"before": kept, "standing": asdict(self._store.standing(name))}

        return JSONResponse(await run_in_threadpool(take_back))

    def _name(self, request: Request) -> str:
        return self._store.annotator(request.path_params["key"])


def _refused(request: Request, token: str | None, hosts: set[str] | None) -> str | None:
    """Why a request gets no answer, or None."""
    if hosts is not None and request.url.hostname not in hosts:
        return _NO_HOST
    if token is None:
        return None
    shown = request.headers.get("authorization", "").removeprefix("Bearer ")
    shown = shown or request.query_params.get("token", "")
    same = hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())
    return None if same else _NO_TOKEN


async def _body(request: Request) -> Any:
    """The request's JSON, of bounded size."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BODY:
            raise UsageError(f"the answer is longer than {_MOST_BODY} bytes; shorten the comment")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise UsageError("the answer is not JSON; reload the page to continue") from None


def event_key(body: Any) -> str:
    """The key of an event, which the browser makes.

    Raises:
        UsageError: There is none, or it is none of ours.
    """
    key = body.get("key") if isinstance(body, dict) else None
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise UsageError("the answer has no key of 8 to 64 letters and digits; reload the page")
    return key


def vote_from(body: Any) -> Vote:
    """A vote from what a browser sent.

    Raises:
        UsageError: A field is missing or makes no sense; the message says which.
    """
    key = event_key(body)
    comment, seconds = body.get("comment", ""), body.get("seconds")
    if not isinstance(comment, str) or len(comment) > MOST_COMMENT:
        raise UsageError(f"comment: must be text of at most {MOST_COMMENT} characters")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | None):
        raise UsageError(f"seconds {seconds!r}: must be a number")
    if seconds is not None and not (math.isfinite(seconds) and 0 <= seconds <= _MOST_SECONDS):
        raise UsageError(f"seconds {seconds}: must be between 0 and {_MOST_SECONDS:.0f}")
    # A lone surrogate (half an emoji) is no character, and SQLite stores none.
    text = comment.strip().encode("utf-8", "replace").decode("utf-8")
    return Vote(key, str(body.get("choice")), text, None if seconds is None else float(seconds))
