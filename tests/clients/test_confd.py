from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import pytest

from pytest_ganeti_vcluster.clients import ConfdClient
from pytest_ganeti_vcluster.clients.confd import REQ_CLUSTER_MASTER
from pytest_ganeti_vcluster.errors import GanetiError

KEY = b"0123456789abcdef\n"
Answer = Callable[[dict[str, Any]], "list[bytes]"]


def sign(message: str, salt: str, key: bytes = KEY) -> str:
    return hmac.new(key, (salt + message).encode(), hashlib.sha1).hexdigest()


def reply(salt: str, key: bytes = KEY, **fields: Any) -> bytes:
    message = json.dumps({"protocol": 1, "status": 0, "answer": "ok", "serial": 7, **fields})
    return b"plj0" + json.dumps({"msg": message, "salt": salt, "hmac": sign(message, salt, key)}).encode()


@contextmanager
def confd(answer: Answer) -> Iterator[tuple[ConfdClient, list[dict[str, Any]]]]:
    """Answer every datagram on a free port with what `answer` makes of the request in it."""
    seen: list[dict[str, Any]] = []

    def run() -> None:
        while True:
            datagram, sender = server.recvfrom(65536)
            if datagram == b"end":
                return
            assert datagram.startswith(b"plj0")
            signed = json.loads(datagram[4:])
            assert signed["hmac"] == sign(signed["msg"], signed["salt"])
            assert abs(int(signed["salt"]) - time.time()) < 5
            seen.append(json.loads(signed["msg"]))
            for one in answer(seen[-1]):
                server.sendto(one, sender)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield ConfdClient(KEY, *server.getsockname()), seen
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
                knock.sendto(b"end", server.getsockname())
            thread.join(10)


def test_ping() -> None:
    with confd(lambda request: [reply(request["rsalt"])]) as (client, seen):
        assert client.ping(10)
    (request,) = seen
    assert {**request, "rsalt": "x"} == {"protocol": 1, "type": 0, "query": "", "rsalt": "x"}


def test_query() -> None:
    with confd(lambda request: [reply(request["rsalt"], answer=request["query"], status=1)]) as (client, _):
        got = client.query(REQ_CLUSTER_MASTER, {"3": [0]})
    assert (got.ok, got.status, got.answer, got.serial) == (False, 1, {"3": [0]}, 7)


def test_error_status_is_no_good_ping() -> None:
    with confd(lambda request: [reply(request["rsalt"], status=1)]) as (client, _):
        assert not client.ping(10)


def test_what_is_not_the_answer_is_passed_over() -> None:
    def noise(request: dict[str, Any]) -> list[bytes]:
        right = reply(request["rsalt"])
        return [
            b"",
            b"plj0",
            b"plj0[]",
            b"plj1" + right[4:],
            reply("another salt", answer="bad"),
            reply(request["rsalt"], key=b"another key", answer="bad"),
            reply(request["rsalt"], status=None, answer="bad"),
            right,
        ]

    with confd(noise) as (client, _):
        assert client.query(0, "", timeout=10).answer == "ok"


def test_lost_datagram_is_sent_again() -> None:
    lost: list[int] = []

    def forgetful(request: dict[str, Any]) -> list[bytes]:
        lost.append(1)
        return [] if len(lost) == 1 else [reply(request["rsalt"])]

    with confd(forgetful) as (client, seen):
        assert client.ping(10)
    assert len(seen) == 2


def test_silence() -> None:
    with confd(lambda _: []) as (client, _):
        begin = time.monotonic()
        assert not client.ping(0.2)
        with pytest.raises(GanetiError, match=r"No answer from confd .* in 0.2 s") as caught:
            client.query(0, "", timeout=0.2)
        assert time.monotonic() - begin < 5
    assert "key is wrong" in caught.value.cure


def test_nothing_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = ConfdClient(KEY, "127.0.0.1", port)
    begin = time.monotonic()
    assert not client.ping(10)
    assert time.monotonic() - begin < 5
    with pytest.raises(GanetiError, match="refused"):
        client.query(0, "")


def test_key_is_not_shown() -> None:
    assert "0123456789abcdef" not in repr(ConfdClient(KEY, "127.0.0.1"))
