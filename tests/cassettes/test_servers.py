"""Recording and replaying over real connections, and what clients see when something is not as it should be."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from pytest_ganeti_vcluster.cassettes.cassette import Cassette
from pytest_ganeti_vcluster.cassettes.leaving_out import Substitutions
from pytest_ganeti_vcluster.cassettes.recording import Recorder
from pytest_ganeti_vcluster.cassettes.replaying import Replayer
from pytest_ganeti_vcluster.cassettes.serving import HOST, Asked, Credentials, Said
from pytest_ganeti_vcluster.cassettes.upstream import Upstream
from tests.cassettes.serving import OURS, Answering, ask, said, served

LIMIT = 30.0


def address(url: str) -> tuple[str, int]:
    port = urlsplit(url).port
    assert port is not None
    return HOST, port


def counting(asked: Asked) -> Said | None:
    """Count the requests for each target; let in whoever is ours; break off where asked to."""
    if asked.target == "/gone":
        return None
    if asked.credentials != "ours":
        return said(
            {"code": 401}, 401, **{"WWW-Authenticate": 'Basic realm="Ganeti Remote API"', "Date": "today"}
        )
    body = json.loads(asked.data) if asked.data else None
    return said([asked.method, asked.target, body, OURS.password])


def recorded(tmp_path: Path) -> Cassette:
    """Record what a client asks, through a proxy, of a server."""
    upstream = Answering(counting)
    with served(upstream, tmp_path / "upstream") as rapi:
        recorder = Recorder(Upstream(rapi.url, rapi.ca_file), Substitutions((OURS.password,)))
        with served(recorder, tmp_path / "proxy") as proxy:
            assert ask(proxy, "GET", "/2/a%20b?x=1&y=%2F") == (
                200,
                ["GET", "/2/a%20b?x=1&y=%2F", None, OURS.password],
            )
            # Ganeti's wait for a job is a GET with a body.
            assert ask(proxy, "GET", "/2/jobs/1/wait", {"fields": ["status"]})[1][2] == {"fields": ["status"]}
            assert ask(proxy, "PUT", "/2/tags?tag=a")[0] == 200
            assert ask(proxy, "PUT", "/2/tags?tag=a")[0] == 200
            assert ask(proxy, "GET", "/2/info", credentials=None) == (401, {"code": 401})
            assert ask(proxy, "GET", "/2/info", credentials=Credentials("user", "guess"))[0] == 401
            with pytest.raises(urllib3.exceptions.ProtocolError):
                ask(proxy, "GET", "/gone")
    # The client's own words, but for what belongs to connections.
    assert upstream.asked[0].target == "/2/a%20b?x=1&y=%2F"
    headers = dict(upstream.asked[0].headers)
    assert headers["Host"] == urlsplit(rapi.url).netloc
    return recorder.cassette({})


def test_what_was_recorded_is_replayed(tmp_path: Path) -> None:
    cassette = recorded(tmp_path)
    assert [one.request.credentials for one in cassette.exchanges[-3:]] == ["none", "others", "ours"]
    path = tmp_path / "one.json"
    cassette.write(path)
    text = path.read_text()
    assert OURS.password not in text
    assert "today" not in text
    assert "Authorization" not in text
    replayer = Replayer(Cassette.read(path), Substitutions((OURS.password,)))
    with served(replayer, tmp_path / "replay") as rapi:
        # In any order, as often as one likes; the query's order does not matter.
        assert ask(rapi, "GET", "/2/jobs/1/wait", {"fields": ["status"]})[0] == 200
        for _time in range(3):
            assert ask(rapi, "GET", "/2/a%20b?y=%2F&x=1") == (
                200,
                ["GET", "/2/a%20b?x=1&y=%2F", None, "(left out)"],
            )
        assert ask(rapi, "GET", "/2/info", credentials=None)[0] == 401
        assert ask(rapi, "GET", "/2/info", credentials=Credentials("x", "y"))[0] == 401
        with pytest.raises(urllib3.exceptions.ProtocolError):
            ask(rapi, "GET", "/gone")
        assert [ask(rapi, "PUT", "/2/tags?tag=a")[0] for _time in range(2)] == [200, 200]
        assert replayer.problems == []


def test_what_was_not_recorded_is_told_with_the_nearest(tmp_path: Path) -> None:
    replayer = Replayer(recorded(tmp_path), Substitutions((OURS.password,)))
    with served(replayer, tmp_path / "replay") as rapi:
        status, document = ask(rapi, "PUT", "/2/tags?tag=b")
        assert status == 501
        assert document["code"] == 501
        assert "PUT /2/tags?tag=b\n" in document["message"]
        assert "the nearest that was: PUT /2/tags?tag=a" in document["message"]
        # What changes something is not repeated.
        assert [ask(rapi, "PUT", "/2/tags?tag=a")[0] for _time in range(3)] == [200, 200, 501]
        assert ask(rapi, "GET", "/2/jobs/1/wait", {"fields": ["id"]})[0] == 501
    assert len(replayer.problems) == 3
    assert "was recorded 2 times, and is asked for once more" in replayer.problems[1]
    assert '{"fields": ["id"]}' in replayer.problems[2]


def test_equal_requests_are_answered_in_turn(tmp_path: Path) -> None:
    states = iter(["queued", "running", "success"])
    with served(Answering(lambda _asked: said({"status": next(states)})), tmp_path / "upstream") as rapi:
        recorder = Recorder(Upstream(rapi.url, rapi.ca_file), Substitutions())
        with served(recorder, tmp_path / "proxy") as proxy:
            for _time in range(3):
                ask(proxy, "GET", "/2/jobs/7")
    with served(Replayer(recorder.cassette({}), Substitutions()), tmp_path / "replay") as rapi:
        told = [ask(rapi, "GET", "/2/jobs/7")[1]["status"] for _time in range(5)]
    assert told == ["queued", "running", "success", "success", "success"]


def test_exchanges_are_kept_in_the_order_of_the_requests(tmp_path: Path) -> None:
    second_came, go_on = threading.Event(), threading.Event()

    def slow_first(asked: Asked) -> Said:
        if asked.target == "/first":
            second_came.set()
            assert go_on.wait(LIMIT)
        else:
            go_on.set()
        return said(asked.target)

    with served(Answering(slow_first), tmp_path / "upstream") as rapi:
        recorder = Recorder(Upstream(rapi.url, rapi.ca_file), Substitutions())
        with served(recorder, tmp_path / "proxy") as proxy:
            first = threading.Thread(target=ask, args=(proxy, "GET", "/first"))
            first.start()
            assert second_came.wait(LIMIT)
            ask(proxy, "GET", "/second")
            first.join()
    assert [one.request.path for one in recorder.cassette({}).exchanges] == ["/first", "/second"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_a_client_in_another_language_is_served(tmp_path: Path) -> None:
    with served(Replayer(recorded(tmp_path), Substitutions((OURS.password,))), tmp_path / "replay") as rapi:
        curl = ["curl", "-sS", "--fail", "--noproxy", "*", "--cacert", str(rapi.ca_file)]
        user = ["-u", f"{OURS.username}:{OURS.password}"]
        done = subprocess.run(
            [*curl, *user, "-X", "PUT", f"{rapi.url}/2/tags?tag=a"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)[0] == "PUT"
        # No other certificate is taken for ours.
        strict = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", f"{rapi.url}/2/info"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert strict.returncode != 0


def test_one_who_says_nothing_keeps_nobody_waiting(tmp_path: Path) -> None:
    with served(Answering(lambda _asked: said("yes")), tmp_path / "server") as rapi:
        silent = socket.create_connection(address(rapi.url), timeout=LIMIT)
        assert ask(rapi, "GET", "/") == (200, "yes")
    # It was shut down, too.
    assert silent.recv(1) == b""
    silent.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", b"400"),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12", b""),
    ],
)
def test_requests_that_cannot_be_are_not_passed_on(tmp_path: Path, head: bytes, status: bytes) -> None:
    answers = Answering(lambda _asked: said("yes"))
    with served(answers, tmp_path / "server") as rapi:
        context = ssl.create_default_context(cafile=str(rapi.ca_file))
        plain = socket.create_connection(address(rapi.url), timeout=LIMIT)
        with context.wrap_socket(plain, server_hostname=HOST) as connection:
            connection.sendall(head)
            if not status:
                # It may hang up without a word, which is no end in order for TLS.
                with contextlib.suppress(ssl.SSLEOFError):
                    connection.unwrap()
            else:
                assert connection.recv(100).split()[1] == status
    assert answers.asked == []


def test_a_rapi_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    with served(Answering(counting), tmp_path / "upstream") as rapi:
        upstream = Upstream(rapi.url, rapi.ca_file)
    recorder = Recorder(upstream, Substitutions())
    with served(recorder, tmp_path / "proxy") as proxy, pytest.raises(urllib3.exceptions.ProtocolError):
        ask(proxy, "GET", "/2/info")
    assert [one.answer for one in recorder.cassette({}).exchanges] == [None]
