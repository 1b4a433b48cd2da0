"""The file that exchanges are kept in, and what is left out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cassettes.cassette import (
    NONE,
    OTHERS,
    Answer,
    Body,
    Cassette,
    Exchange,
    Request,
    nearest,
)
from pytest_ganeti_vcluster.cassettes.leaving_out import LEFT_OUT, Substitutions
from pytest_ganeti_vcluster.errors import CassetteError

EXCHANGES = (
    Exchange(
        Request.of("GET", "/2/instances?bulk=1&tag=b&tag=a", NONE, b""),
        Answer(200, {"Content-Type": "application/json"}, Body.read(b'[{"b": 1, "a": null}]')),
    ),
    Exchange(Request.of("PUT", "/2/tags?tag=", OTHERS, b'{"x": [1.5, "\xc3\xbc"]}'), Answer(401)),
    Exchange(Request.of("GET", "/a%20b", NONE, b"\xff\xfe"), Answer(200, {}, Body.read(b"no json"))),
    Exchange(Request.of("GET", "/2/info", NONE, b"NaN"), None),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "one.json"
    Cassette(EXCHANGES, {"ganeti": "3.0.2"}).write(path)
    read = Cassette.read(path)
    assert read.exchanges == EXCHANGES
    assert read.about == {"ganeti": "3.0.2"}
    assert [one.name for one in path.parent.iterdir()] == ["one.json"]


def test_the_file_is_the_same_for_the_same_exchanges(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    Cassette(EXCHANGES).write(first)
    Cassette(Cassette.read(first).exchanges).write(second)
    assert first.read_bytes() == second.read_bytes()
    # For people: documents stand in it as such, one field in a line.
    assert '"a": null,\n' in first.read_text()


def test_bodies_are_sent_as_they_came() -> None:
    for data in (b'{"a": 1}', b"text", b"\xff\x00", b"NaN", b"[1.50]"):
        body = Body.read(data)
        assert body is not None
        assert body.data == data or json.loads(body.data) == json.loads(data)
    assert Body.read(b"") is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no cassette"),
        ("{", "cannot be read"),
        ("[]", "is no cassette"),
        ('{"format": "other"}', "is no cassette"),
        ('{"format": "pytest-ganeti-vcluster RAPI cassette", "version": 2}', "version 2"),
        ('{"format": "pytest-ganeti-vcluster RAPI cassette", "version": 1}', "is damaged"),
        (
            '{"format": "pytest-ganeti-vcluster RAPI cassette", "version": 1, "about": {}, "exchanges": [{}]}',
            "is damaged",
        ),
    ],
)
def test_a_file_that_is_not_one_is_told_of(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "one.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CassetteError, match=told) as caught:
        Cassette.read(path)
    assert str(path) in str(caught.value)
    assert "--vcluster-rapi=record" in caught.value.cure


def test_the_nearest_request_has_most_in_common() -> None:
    recorded = [
        Request("GET", "/2/instances"),
        Request("GET", "/2/instances/web.vc"),
        Request("GET", "/2/nodes", (("bulk", "1"),)),
        Request("PUT", "/2/instances/web.vc/tags", (("tag", "a"),)),
    ]
    assert nearest(Request("DELETE", "/2/instances/web.vc"), recorded) == recorded[1]
    assert nearest(Request("PUT", "/2/instances/db.vc/tags"), recorded) == recorded[3]
    assert nearest(Request("GET", "/2/nodes"), recorded) == recorded[2]
    assert nearest(Request("GET", "/"), []) is None


def test_secrets_are_left_out_wherever_they_are() -> None:
    substitutions = Substitutions(secrets=("pa55",))
    data = json.dumps(
        {
            "os": "noop",
            "osparams_secret": {"key": "k", "keys": ["k", None]},
            "osparams_private": {"license": "l"},
            "hvparams": {"vnc_password_file": "/path", "password": "p"},
            "text": "it is pa55!",
        }
    )
    request = substitutions.request(Request.of("POST", "/2/x?password=p&tag=pa55", "ours", data.encode()))
    assert request.query == (("password", LEFT_OUT), ("tag", LEFT_OUT))
    assert request.body is not None
    assert request.body.value == {
        "os": "noop",
        "osparams_secret": {"key": LEFT_OUT, "keys": [LEFT_OUT, None]},
        "osparams_private": {"license": LEFT_OUT},
        "hvparams": {"vnc_password_file": "/path", "password": LEFT_OUT},
        "text": f"it is {LEFT_OUT}!",
    }


def test_places_get_other_names_as_whole_words() -> None:
    substitutions = Substitutions(places={"127.64.0.1": "198.18.0.1", "/tmp/x": "/vcluster"})
    assert substitutions.text("127.64.0.1:5080 at /tmp/x/node1.") == "198.18.0.1:5080 at /vcluster/node1."
    assert substitutions.text("It is 127.64.0.1.") == "It is 198.18.0.1."
    for other in ("127.64.0.12", "27.64.0.1", "127.64.0.1.5", "1127.64.0.1"):
        assert substitutions.text(other) == other
    body = Body("json", {"ip": "127.64.0.1", "of": ["127.64.0.1", 1]})
    answer = substitutions.answer(Answer(200, {}, body))
    assert answer is not None
    assert answer.body == Body("json", {"ip": "198.18.0.1", "of": ["198.18.0.1", 1]})
