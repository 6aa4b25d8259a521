"""Serves a study: where it listens, who may reach it, and the links of its annotators.

Invariant: a study is reachable from its own machine only, unless somebody says otherwise; and then
nobody gets an answer without the token.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from motive.errors import MissingExtraError, MotiveError, UsageError
from motive.study.lock import only_server
from motive.study.records import Annotator
from motive.study.store import StudyStore
from motive.study.web import KEY, study_app

PORT = 8765


@dataclass(frozen=True)
class Serving:
    """Where a study is being served.

    Attributes:
        address: Such as "http://127.0.0.1:8765".
        token: What every request must show; None on the own machine.
        annotators: Who takes part.
    """

    address: str
    token: str | None
    annotators: list[Annotator]

    def link(self, annotator: Annotator) -> str:
        """An annotator's own link; opening it again continues."""
        return annotator_link(self.address, annotator, self.token)


def annotator_link(address: str, annotator: Annotator, token: str | None) -> str:
    """The address of an annotator's page."""
    return f"{address}/a/{annotator.key}" + (f"?token={token}" if token else "")


def serve_study(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    public_url: str | None = None,
    on_ready: Callable[[Serving], object] | None = None,
) -> None:
    """Serve a study until the process is interrupted.

    Args:
        folder: A study folder.
        host: Address to listen at; the default is reachable from this machine only.
        port: 0 takes any free one.
        token: Wanted from every request. Without one, a study that is reachable from elsewhere
            wants the token that was made with it, and others want none.
        public_url: How annotators reach the server through a tunnel or proxy.
        on_ready: Told where, once requests are answered.

    Raises:
        UsageError: No study, or it is served already, or the token or address makes no sense.
        MissingExtraError: The web packages are not installed.
        MotiveError: The address is taken, or the folder cannot be read or locked.
    """
    try:
        import starlette  # noqa: F401  (used below; one message for both)
        import uvicorn
    except ImportError:
        raise MissingExtraError(
            "serving a study needs Starlette and uvicorn; pip install 'motive-video[web]'"
        ) from None
    with StudyStore(folder) as store, closing(_listen(host, port)) as listening:
        store.check_videos()
        port = listening.getsockname()[1]
        address = (public_url or f"http://{_reachable(host)}:{port}").rstrip("/")
        wanted = needed_token(host, public_url, token, store.facts["token"])
        here = is_this_machine(host) and public_url is None
        names = {"localhost", "127.0.0.1", "::1", host} if here else None
        serving = Serving(address, wanted, store.annotators())
        with only_server(folder, address):
            app = study_app(store, token=wanted, hosts=names, lifespan=_telling(on_ready, serving))
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False,
                timeout_graceful_shutdown=5,
            )  # fmt: skip
            uvicorn.Server(config).run(sockets=[listening])


def needed_token(host: str, public_url: str | None, given: str | None, own: str) -> str | None:
    """The token that requests must show; None only where this machine alone reaches the study.

    Args:
        host: Address to listen at.
        public_url: Address of a tunnel or proxy.
        given: A token to use instead of the study's own.
        own: The token made with the study.

    Raises:
        UsageError: The given token is too short to be a secret, or `public_url` is no address.
    """
    if public_url is not None:
        parts = urlsplit(public_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise UsageError(f"public address {public_url!r}: write it as https://host or similar")
    if given is not None and not KEY.fullmatch(given):
        raise UsageError(
            "token: use 8 to 64 letters, digits, - and _; leave it out to have one made"
        )
    if given is None and is_this_machine(host) and public_url is None:
        return None
    return given or own


def is_this_machine(host: str) -> bool:
    """Whether an address to listen at is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reachable(host: str) -> str:
    """The host as other machines write it; "every address" becomes this machine's own."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        family = socket.AF_INET6 if host == "::" else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe, suppress(OSError):
            # Connecting a datagram socket sends nothing; it only picks the address that would.
            probe.connect(("2001:db8::1" if host == "::" else "192.0.2.1", 9))
            host = probe.getsockname()[0]
    return f"[{host}]" if ":" in host else host or socket.gethostname()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a taken port is our error and not a server's log line."""
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port}: must be between 0 and 65535")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"{host}:{port}: no address to listen at ({error})") from None
    try:
        if os.name == "posix":  # a restart need not wait for connections of the server before it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen()  # whoever comes early waits instead of being refused
    except OSError as error:
        listening.close()
        raise MotiveError(
            f"{host}:{port}: cannot listen there ({error.strerror}); is another program using "
            "the port? choose another with --port"
        ) from None
    return listening


def _telling(
    on_ready: Callable[[Serving], object] | None, serving: Serving
) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """A lifespan that says when the server is about to answer; the socket is bound by then."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        if on_ready is not None:
            on_ready(serving)
        yield

    return lifespan
