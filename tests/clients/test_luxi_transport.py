from __future__ import annotations

import errno
import json
import os
import pickle
import socket
import threading
import time
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.clients import LuxiClient, LuxiTimeout, LuxiUnreachable
from pytest_ganeti_vcluster.errors import LuxiError, PathTooLong, SpecError
from tests.clients.luxi_peer import hangs_up_after_reading, hangs_up_at_once, keeps_silent, peer, result, says

DELAY = {"OP_ID": "OP_TEST_DELAY", "duration": 0.1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q"


def client(path: Path, **kwargs: float) -> LuxiClient:
    return LuxiClient(path, **{"timeout": 10.0, "connect_timeout": 0.0, **kwargs})  # type: ignore[arg-type]


def test_request_is_one_json_message_with_method_and_arguments(path: Path) -> None:
    with peer(path, result(["a"])) as other:
        assert client(path).query_tags("node", "ü\x03") == ["a"]
    assert other.requests == [{"method": "QueryTags", "args": ["node", "ü\x03"]}]


def test_byte_3_in_an_argument_does_not_end_the_message(path: Path) -> None:
    seen = []

    def look(connection: socket.socket) -> bytes:
        seen.append(connection.recv(65536))
        connection.sendall(b'{"success": true, "result": null}\x03')
        return seen[0]

    with peer(path, look):
        client(path).call("Any", "a\x03b")
    assert seen[0].count(b"\x03") == 1
    assert seen[0].endswith(b"\x03")


@pytest.mark.parametrize("pieces", [2, 50, 10**6])
def test_answer_in_pieces_is_put_together(path: Path, pieces: int) -> None:
    with peer(path, says(json.dumps({"success": True, "result": "ä" * 300}), pieces=pieces)):
        assert client(path).call("Any") == "ä" * 300


def test_large_answer_and_large_request(path: Path) -> None:
    big = "x" * 3_000_000
    with peer(path, result(big)) as other:
        assert client(path).call("Any", big) == big
    assert other.requests[0]["args"] == [big]


def test_version_is_sent_if_given_and_has_to_come_back(path: Path) -> None:
    right = says('{"success": true, "result": 1, "version": 3000000}')
    with peer(path, right, right, right) as other:
        assert LuxiClient(path, version=3000000).call("Any") == 1
        assert LuxiClient(path).call("Any") == 1
        with pytest.raises(LuxiError, match="asked in version 3010000, answered in version 3000000"):
            LuxiClient(path, version=3010000).call("Any")
    assert [request.get("version") for request in other.requests] == [3000000, None, 3010000]


@pytest.mark.parametrize("answer", [b"", b"[]", b"nonsense", b'{"success": true}', b"\xff\xfe", b"3", b'"x"'])
def test_garbage_is_an_error_that_shows_it(path: Path, answer: bytes) -> None:
    with peer(path, says(answer)), pytest.raises(LuxiError, match="no LUXI message") as caught:
        client(path).query_cluster_info()
    assert repr(answer) in str(caught.value)


def test_nobody_listens(path: Path) -> None:
    with pytest.raises(LuxiUnreachable, match="there is no such socket") as caught:
        client(path).query_cluster_info()
    assert not caught.value.taken
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(LuxiUnreachable, match="nobody listens on it"):
        client(path).query_cluster_info()


def test_daemon_that_comes_late_is_waited_for(path: Path) -> None:
    listening: list[object] = []

    def start() -> None:
        with peer(path, result(7)) as other:
            listening.append(other)
            other.wait()

    thread = threading.Timer(0.2, start)
    thread.start()
    try:
        assert client(path, connect_timeout=10.0).submit_job(DELAY) == 7
    finally:
        thread.join()
    assert listening


def test_full_backlog_is_a_timeout(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        waiting = []
        while True:
            one = socket.socket(socket.AF_UNIX)
            waiting.append(one)
            one.setblocking(False)
            code = one.connect_ex(str(path))
            if code:
                break
        try:
            assert code == errno.EAGAIN
            with pytest.raises(LuxiTimeout, match="backlog is full"):
                client(path).query_cluster_info()
        finally:
            for one in waiting:
                one.close()


def test_silence_ends_at_the_deadline(path: Path) -> None:
    with peer(path, keeps_silent):
        begin = time.monotonic()
        with pytest.raises(LuxiTimeout, match=r"LUXI QueryClusterInfo: .* did not answer"):
            client(path, timeout=0.3).query_cluster_info()
        assert 0.25 < time.monotonic() - begin < 5


def test_dripping_answer_ends_at_the_deadline_too(path: Path) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        try:
            while not stop.wait(0.02):
                connection.sendall(b" ")
        except OSError:
            pass

    with peer(path, drip):
        begin = time.monotonic()
        with pytest.raises(LuxiTimeout, match="without its end"):
            client(path, timeout=0.3).query_cluster_info()
        stop.set()
        assert time.monotonic() - begin < 5


def test_query_is_repeated_when_the_connection_breaks(path: Path) -> None:
    half = says(b'{"success": tr', end=b"")
    with peer(path, hangs_up_after_reading, half, result(["t"])) as other:
        assert client(path).query_tags("cluster") == ["t"]
    assert other.connections == 3


def test_query_is_not_repeated_for_ever(path: Path) -> None:
    with (
        peer(path, *[hangs_up_after_reading] * 9) as other,
        pytest.raises(LuxiUnreachable, match="closed the conn"),
    ):
        client(path).query_tags("cluster")
    assert other.connections == 3


@pytest.mark.parametrize("method", ["submit_job", "submit_job_to_drained_queue"])
def test_submission_that_may_have_been_taken_is_never_repeated(path: Path, method: str) -> None:
    with peer(path, hangs_up_after_reading, result(8)) as other:
        with pytest.raises(LuxiUnreachable, match="not known whether Ganeti took") as caught:
            getattr(client(path), method)(DELAY)
        assert other.connections == 1
    assert caught.value.taken
    assert "OP_TEST_DELAY" in str(caught.value)


def test_submission_that_was_certainly_not_read_is_repeated(path: Path) -> None:
    # Larger than a socket buffer, so that the connection breaks while the request is being sent.
    op = {**DELAY, "comment": "x" * 5_000_000}
    with peer(path, hangs_up_at_once, result(9)) as other:
        assert client(path).submit_job(op) == 9
    assert other.connections == 2


def test_path_too_long(tmp_path: Path) -> None:
    with pytest.raises(PathTooLong, match="the kernel takes 107"):
        client(tmp_path / ("x" * 108)).query_cluster_info()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use any socket")
def test_socket_of_somebody_else(path: Path) -> None:
    with peer(path, result(1)):
        path.chmod(0)
        with pytest.raises(LuxiError, match="Permission denied") as caught:
            client(path).query_cluster_info()
        path.chmod(0o700)
    assert not isinstance(caught.value, LuxiUnreachable)
    assert "as the user who started it" in str(caught.value)


def test_arguments_that_are_no_json(path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be written as JSON"):
        client(path).call("Any", object())
    with pytest.raises(SpecError, match="cannot be written as JSON"):
        client(path).call("Any", float("nan"))


def test_client_and_errors_survive_pickling(path: Path) -> None:
    one = client(path)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(LuxiUnreachable) as caught:
        one.query_cluster_info()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.taken) == (LuxiUnreachable, str(caught.value), False)


def test_one_client_serves_many_threads(path: Path) -> None:
    gate = threading.Barrier(4)
    answers: list[int] = []
    with peer(path, *[result(n) for n in range(4)]):
        one = client(path)

        def ask() -> None:
            gate.wait(10)
            answers.append(one.call("Query"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [0, 1, 2, 3]
