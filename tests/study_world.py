"""Small studies, a server for them, and somebody who asks it."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from motive.study import Prompt, StudyPlan, StudyStore, create_study, study_app
from moving_squares import square_video


def condition_folders(root: Path, names, prompts, **video) -> dict[str, Path]:
    """A folder per condition with the same video under every prompt id."""
    folders = {}
    for kind, name in enumerate(names):
        folders[name] = root / f"videos of {name}"
        folders[name].mkdir(parents=True, exist_ok=True)
        original = square_video(root / f"{name}.mp4", kind, **video)
        for prompt in prompts:
            shutil.copyfile(original, folders[name] / f"{prompt.id}.mp4")
    return folders


def small_prompts(count: int) -> list[Prompt]:
    motions = ("spin", "roll")
    return [Prompt(f"p{i:02d}", f"A square, number {i}", motions[i % 2]) for i in range(count)]


def small_study(root: Path, *, prompts=3, conditions=("motive", "base"), video=None, **options):
    """A study folder of a few prompts."""
    prompts = small_prompts(prompts) if isinstance(prompts, int) else prompts
    folders = condition_folders(root, conditions, prompts, **(video or {}))
    plan = {"prompts": prompts, "annotators": ["anna", "ben"], "checks": 2, **options}
    create_study(StudyPlan(folders, **plan), root / "study")
    return root / "study"


@contextmanager
def served(folder: Path, *, port: int = 0, **options):
    """A server in a thread; yields its address."""
    import uvicorn

    with StudyStore(folder) as store:
        app = study_app(store, **options)
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        found = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{found}"
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join()


class Client:
    """One connection; opened again when it breaks."""

    def __init__(self, address: str, timeout: float = 60) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def ask(self, path: str, body=None, *, method: str | None = None, **headers):
        """(status, headers, bytes) of one request."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method or ("GET" if data is None else "PUT"), path, data, sent)
            answer = self._connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def json(self, path: str, body=None, **headers):
        """(status, value) of one request."""
        status, _, data = self.ask(path, body, **headers)
        return status, json.loads(data)

    def close(self) -> None:
        self._connection.close()
