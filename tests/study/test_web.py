"""What the server answers, to whom, and what it never tells."""

import json
import re
import socket
import threading

import pytest

from motive.errors import MotiveError, UsageError
from motive.study import StudyStore, VoteConflictError, annotator_link, serve_study
from motive.study.lock import only_server
from motive.study.serving import needed_token
from motive.study.store import DATABASE
from study_world import Client, served, small_prompts, small_study

TOKEN = "a-secret-of-this-test"


@pytest.fixture
def site(folder):
    """A served study: client, path of anna's link, and the store."""
    with served(folder) as address, StudyStore(folder) as store:
        client = Client(address)
        yield client, f"/a/{store.annotators()[0].key}", store
        client.close()


def test_the_page_leads_through_the_study(site):
    client, anna, store = site
    status, headers, page = client.ask(anna)
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"In which video is the motion better?" in page
    _, standing = client.json(f"{anna}/standing")
    trial = standing["current"]["id"]
    for side in ("left", "right"):
        status, headers, video = client.ask(f"{anna}/videos/{trial}/{side}")
        assert (status, headers["content-type"]) == (200, "video/mp4")
        assert video == store.video("anna", trial, side).read_bytes()
    vote = {"key": "key-00001", "choice": "left", "comment": " jumps ", "seconds": 1.5}
    status, told = client.json(f"{anna}/votes/{trial}", vote)
    assert (status, told["counted"]) == (200, True)
    assert told["standing"]["done"] == 1
    assert client.json(f"{anna}/votes/{trial}", vote)[1]["counted"] is False
    status, told = client.json(f"{anna}/undos/{trial}", {"key": "undo-0001"})
    assert (status, told["before"]) == (200, {"choice": "left", "comment": "jumps"})
    assert told["standing"]["current"]["id"] == trial


def test_nothing_that_is_sent_tells_a_condition(tmp_path):
    names = ("zebra-method", "quokka-method")
    prompts = small_prompts(2)
    folder = small_study(tmp_path, prompts=prompts, conditions=names, checks=2)
    with StudyStore(folder) as store:
        people = store.annotators()
        files = [path.name for path in (folder / "videos").iterdir()]
    sent = []
    with served(folder) as address:
        client = Client(address)
        for person in people:
            start = f"/a/{person.key}"
            sent.append(client.ask(start))
            standing = client.json(f"{start}/standing")[1]
            while trial := standing["current"]:
                sent.append(client.ask(f"{start}/standing"))
                sent += [
                    client.ask(f"{start}/videos/{trial['id']}/{side}") for side in ("left", "right")
                ]
                vote = {"key": f"key-{trial['id']}", "choice": "tie"}
                sent.append(client.ask(f"{start}/votes/{trial['id']}", vote))
                standing = json.loads(sent[-1][2])["standing"]
            sent.append(client.ask(f"{start}/nothing"))
        client.close()
    everything = b"\n".join(repr(headers).encode() + data for _, headers, data in sent)
    hidden = [*names, *files, *(prompt.id for prompt in prompts), str(tmp_path), "known-bad"]
    for word in [*hidden, "identical", "swapped", "last-modified", "etag"]:
        assert word.encode() not in everything.lower(), word


def test_ids_of_one_pair_differ_between_annotators(store):
    ids = [store.standing(name).current.id for name in ("anna", "ben")]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[" * 30000, "not JSON"),
        ([], "no key"),
        ({"choice": "left"}, "no key"),
        ({"key": "short", "choice": "left"}, "no key"),
        ({"key": 'quote"quote', "choice": "left"}, "no key"),
        ({"key": "key-00001"}, "must be left, right or tie"),
        ({"key": "key-00001", "choice": ["left"]}, "must be left, right or tie"),
        ({"key": "key-00001", "choice": "left", "comment": "x" * 2001}, "at most 2000"),
        ({"key": "key-00001", "choice": "left", "comment": 5}, "must be text"),
        ({"key": "key-00001", "choice": "left", "seconds": "2"}, "must be a number"),
        (b'{"key": "key-00001", "choice": "left", "seconds": NaN}', "between 0"),
        ({"key": "key-00001", "choice": "left", "seconds": -1}, "between 0"),
        ({"key": "key-00001", "choice": "left", "comment": "x" * 70000}, "longer than 65536"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_in_one_line(site, body, message):
    client, anna, store = site
    trial = store.standing("anna").current.id
    status, told = client.json(f"{anna}/votes/{trial}", body)
    assert status == 422
    assert message in told["error"]
    assert "\n" not in told["error"]
    assert store.judgements() == []


def test_any_comment_is_kept_as_it_was_written(site):
    client, anna, store = site
    words = ["=cmd()", "<script>alert(1)</script>", "nul \0 and \u202e", "שלום 🎾", "half \ud83d"]
    for number, text in enumerate(words):
        trial = store.standing("anna").current.id
        vote = {"key": f"key-0000{number}", "choice": "tie", "comment": text}
        assert client.json(f"{anna}/votes/{trial}", vote)[0] == 200
    kept = [judgement.comment for judgement in store.judgements()]
    assert kept == [*words[:-1], "half ?"]


def test_strangers_and_strange_addresses_get_a_clear_line(site):
    client, anna, store = site
    trial = store.standing("ben").current.id
    for path in ("/a/nobody", "/a/nobody/standing", f"/a/nobody/votes/{trial}"):
        body = {"key": "key-00001", "choice": "left"} if "votes" in path else None
        status, told = client.json(path, body)
        assert status == 404
        assert "belongs to no annotator" in told["error"]
    status, told = client.json(f"{anna}/votes/{trial}", {"key": "key-00001", "choice": "left"})
    assert (status, "not among those of this annotator" in told["error"]) == (404, True)
    for path in ("/", "/study.db", f"{anna}/../study.db", "/a/%2e%2e/study.db",
                 f"{anna}/videos/{trial}/..%2f..%2fstudy.db"):  # fmt: skip
        assert client.ask(path)[0] == 404, path
    own = store.standing("anna").current.id
    status, told = client.json(f"{anna}/videos/{own}/up")
    assert (status, told["error"]) == (422, "side 'up': must be left or right")
    status, _, page = client.ask("/a/nobody", accept="text/html")
    assert status == 404
    assert b"This link belongs to no annotator of this study" in page
    assert client.ask(f"{anna}/votes/{own}", method="DELETE")[0] == 405


def test_an_answer_given_in_another_window_stays(site):
    client, anna, store = site
    trial = store.standing("anna").current.id
    client.json(f"{anna}/votes/{trial}", {"key": "key-00001", "choice": "left"})
    status, told = client.json(f"{anna}/votes/{trial}", {"key": "key-00002", "choice": "right"})
    assert status == 409
    assert "the first answer stays" in told["error"]
    assert [judgement.choice for judgement in store.judgements()] == ["left"]


def test_a_study_that_cannot_be_written_says_so_without_paths(site, monkeypatch, caplog):
    client, anna, store = site
    trial = store.standing("anna").current.id
    with store._writing() as db:  # another program holds the file
        db.execute("UPDATE study SET value = value")
        monkeypatch.setattr("motive.study.store._BUSY_SECONDS", 0.1)
        with served(store.folder) as other:
            impatient = Client(other)
            vote = {"key": "key-00001", "choice": "left"}
            status, told = impatient.json(f"{anna}/votes/{trial}", vote)
            impatient.close()
    assert (status, told["error"]) == (503, "the study cannot be reached just now; try again")
    assert "locked" in caplog.text
    assert client.json(f"{anna}/votes/{trial}", vote)[1]["counted"] is True


def test_pages_are_locked_down_and_remembered_nowhere(site):
    client, anna, _ = site
    for path in (anna, f"{anna}/standing", "/nothing"):
        headers = client.ask(path, accept="text/html")[1]
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers or headers["server"] == "uvicorn"
    policy = client.ask(anna)[1]["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    page = client.ask(anna)[2].decode()
    assert not re.search(r"https?://|@import|url\(", page)


def test_title_and_question_stay_text(tmp_path):
    text = "</title><script>alert(1)</script> {{ 7 * 7 }}"
    folder = small_study(tmp_path, title=text, question=text + "?")
    with served(folder) as address, StudyStore(folder) as store:
        client = Client(address)
        page = client.ask(f"/a/{store.annotators()[0].key}")[2].decode()
        lost = client.ask("/a/nobody", accept="text/html")[2].decode()
        client.close()
    assert page.count("<script>") == 1
    assert "<script" not in lost
    assert "{{ 7 * 7 }}" in page


def test_without_its_token_a_study_answers_nobody(folder):
    with served(folder, token=TOKEN) as address, StudyStore(folder) as store:
        client = Client(address)
        anna = f"/a/{store.annotators()[0].key}"
        trial = store.standing("anna").current.id
        vote = {"key": "key-00001", "choice": "left"}
        for path, body in ((anna, None), (f"{anna}/standing", None), ("/", None),
                           (f"{anna}/videos/{trial}/left", None),
                           (f"{anna}/votes/{trial}", vote)):  # fmt: skip
            for wrong in ({}, {"authorization": "Bearer guess"}, {"authorization": TOKEN[:-1]}):
                status, told = client.json(path, body, **wrong)
                assert status == 403
                assert "token" in told["error"]
        assert client.ask(f"{anna}?token=%FFguess")[0] == 403
        assert client.ask(f"{anna}?token={TOKEN}")[0] == 200
        right = {"authorization": f"Bearer {TOKEN}"}
        assert client.json(f"{anna}/votes/{trial}", vote, **right)[1]["counted"] is True
        link = annotator_link(address, store.annotators()[0], TOKEN)
        assert link.endswith(f"{anna}?token={TOKEN}")
        client.close()


def test_a_page_elsewhere_cannot_borrow_the_own_machine(folder):
    with served(folder, hosts={"localhost", "127.0.0.1"}) as address:
        client = Client(address)
        status, told = client.json("/a/nobody", host="evil.example")
        assert (status, told["error"]) == (403, "this study answers under its own address only")
        assert client.json("/a/nobody", host="localhost:80")[0] == 404
        client.close()


def test_a_token_is_wanted_as_soon_as_others_can_reach_the_study():
    own = "made-with-the-study"
    for host in ("127.0.0.1", "::1", "localhost"):
        assert needed_token(host, None, None, own) is None
        assert needed_token(host, "https://study.example.org", None, own) == own
        assert needed_token(host, None, TOKEN, own) == TOKEN
    for host in ("0.0.0.0", "::", "192.168.1.5", "some-machine"):
        assert needed_token(host, None, None, own) == own
        assert needed_token(host, None, TOKEN, own) == TOKEN
    with pytest.raises(UsageError, match="8 to 64"):
        needed_token("0.0.0.0", None, "short", own)
    for wrong in ("study.example.org", "ftp://x", "https://x/?a=b"):
        with pytest.raises(UsageError, match="public address"):
            needed_token("127.0.0.1", wrong, None, own)


def test_two_servers_on_one_study_are_refused_with_one_line(folder):
    with (
        only_server(folder, "http://127.0.0.1:8765"),
        pytest.raises(UsageError, match=r"served already at http://127.0.0.1:8765 \(process \d+\)"),
    ):
        serve_study(folder, port=0)
    with only_server(folder, "again"):
        pass


def test_an_address_that_is_taken_or_none_is_refused(folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(MotiveError, match=r"cannot listen there.*--port"):
            serve_study(folder, port=other.getsockname()[1])
    with pytest.raises(UsageError, match="port 70000"):
        serve_study(folder, port=70000)
    with pytest.raises(UsageError, match="no address to listen at"):
        serve_study(folder, host="no such host.invalid", port=0)
    with pytest.raises(UsageError, match="holds no study"):
        serve_study(folder / "videos")


def test_double_clicks_at_the_same_moment_count_once(site):
    client, anna, store = site
    trial = store.standing("anna").current.id
    told = []

    def press():
        own = Client(f"http://{client._connection.host}:{client._connection.port}")
        vote = {"key": "key-00001", "choice": "right"}
        told.append(own.json(f"{anna}/votes/{trial}", vote)[1]["counted"])
        own.close()

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False] * 5 + [True]
    assert len(store.judgements()) == 1


def test_errors_of_the_store_are_one_family():
    assert issubclass(VoteConflictError, MotiveError)
    assert DATABASE == "study.db"
