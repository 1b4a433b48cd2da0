"""The name server of a cluster's own network answers what the cluster's hosts file says at that moment."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.engines.namespaces.name_server import NameServer

A, PTR, AAAA = 1, 12, 28


def question(name: str, kind: int, number: int = 4711) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def outcome(asked: bytes, answer: bytes) -> tuple[int, bytes | None]:
    """Return status and data of an answer, which is checked to be one to that question."""
    number, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", answer)
    assert number == struct.unpack_from("!H", asked)[0]
    assert flags & 0x8400 == 0x8400
    assert questions == 1
    assert answer[12 : len(asked)] == asked[12:]
    record = answer[len(asked) :]
    assert answers == bool(record)
    return flags & 15, record[12:] if record else None


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(
        "127.0.0.1 localhost\n198.18.0.11 node1.vc node1\n198.18.0.123 instance1.vc instance1\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("name", ["node1.vc", "node1", "NODE1.vc"])
def test_a_name_has_its_address(hosts: Path, name: str) -> None:
    asked = question(name, A)
    assert outcome(asked, NameServer(str(hosts)).answer(asked)) == (0, socket.inet_aton("198.18.0.11"))


def test_an_address_has_its_first_name(hosts: Path) -> None:
    asked = question("123.0.18.198.in-addr.arpa", PTR)
    assert outcome(asked, NameServer(str(hosts)).answer(asked)) == (0, b"\x09instance1\x02vc\x00")


def test_a_known_name_without_such_a_record_is_no_unknown_one(hosts: Path) -> None:
    server = NameServer(str(hosts))
    for name, status in (("node1.vc", 0), ("node2.vc", 3), ("4.3.2.1.in-addr.arpa", 3)):
        asked = question(name, AAAA)
        assert outcome(asked, server.answer(asked)) == (status, None)


def test_a_change_of_the_file_is_seen_at_once(hosts: Path, tmp_path: Path) -> None:
    server = NameServer(str(hosts))
    asked = question("node2.vc", A)
    assert outcome(asked, server.answer(asked)) == (3, None)
    before = hosts.stat()
    new = tmp_path / "new"
    # As long as the old one, and as old.
    new.write_text(hosts.read_text(encoding="utf-8").replace("node1", "node2"), encoding="utf-8")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(hosts)
    assert outcome(asked, server.answer(asked)) == (0, socket.inet_aton("198.18.0.11"))


@pytest.mark.parametrize(
    "message",
    [b"", b"x" * 11, question("node1.vc", A)[:-3], struct.pack("!HHHHHH", 1, 0x8000, 1, 0, 0, 0) + b"\0" * 5],
)
def test_what_is_no_question_has_no_answer(hosts: Path, message: bytes) -> None:
    with pytest.raises(ValueError, match="question"):
        NameServer(str(hosts)).answer(message)
