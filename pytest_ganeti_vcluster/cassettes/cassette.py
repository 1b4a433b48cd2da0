"""What is recorded of exchanges, and the file that they are kept in.

The file is JSON, for people to read and to compare: keys in order, exchanges in the order of the requests. Bodies that
are JSON, as all of RAPI's are, stand in it as such.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import attrs

from pytest_ganeti_vcluster.errors import CassetteError

FORMAT = "pytest-ganeti-vcluster RAPI cassette"
VERSION = 1

#: Whose name and password a request has: those of the endpoint, none, or others, such as wrong ones.
OURS, NONE, OTHERS = "ours", "none", "others"


@attrs.frozen
class Body:
    """A body that is not empty. `kind`: "json", with a document as `value`; "text"; "base64", of what is no text."""

    kind: str
    value: Any

    @classmethod
    def read(cls, data: bytes) -> Body | None:
        """Return what bytes mean; None for an empty body."""
        if not data:
            return None
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return cls("base64", base64.b64encode(data).decode("ascii"))
        try:
            return cls("json", json.loads(text, parse_constant=_refuse))
        except ValueError:
            return cls("text", text)

    @property
    def data(self) -> bytes:
        """The bytes to send."""
        if self.kind == "json":
            return json.dumps(self.value).encode("utf-8")
        if self.kind == "base64":
            return base64.b64decode(self.value)
        return str(self.value).encode("utf-8")


def _refuse(constant: str) -> Any:
    # NaN and the like: what has them is no JSON, and is kept as the text that it is.
    raise ValueError(constant)


@attrs.frozen
class Request:
    """What a client asked: `path` without percent-encoding, `query` in order of names, `credentials` (see `OURS`)."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    credentials: str = OURS
    body: Body | None = None

    @classmethod
    def of(cls, method: str, target: str, credentials: str, data: bytes) -> Request:
        """Return what was asked by a request for `target` (path and query, as sent)."""
        path, _, query = target.partition("?")
        pairs = tuple(sorted(parse_qsl(query, keep_blank_values=True)))
        return cls(method, unquote(path), pairs, credentials, Body.read(data))

    def __str__(self) -> str:
        query = f"?{urlencode(self.query)}" if self.query else ""
        whose = {OURS: "", NONE: ", without credentials", OTHERS: ", with other credentials"}[
            self.credentials
        ]
        body = "" if self.body is None else f", body {json.dumps(self.body.value, sort_keys=True)}"
        return f"{self.method} {self.path}{query}{whose}{body}"


@attrs.frozen
class Answer:
    """What the server said. `headers`: those that matter to clients, beside length and connection."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: Body | None = None


@attrs.frozen
class Exchange:
    """A request and its answer; None where the server gave none, as when it was gone or took too long."""

    request: Request
    answer: Answer | None


@attrs.frozen
class Cassette:
    """The exchanges of one test. `about`: what people should know of it, such as the Ganeti that answered."""

    exchanges: tuple[Exchange, ...]
    about: Mapping[str, str] = attrs.field(factory=dict)

    def write(self, path: Path) -> None:
        """Write it to a file, in one piece; folders are made."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "about": dict(self.about),
            "exchanges": [_exchange_to_json(one) for one in self.exchanges],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            new.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Cassette:
        """Read a file. Raises `CassetteError`, which says what is wrong with it."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CassetteError(f"there is no cassette {path}", cure=f"record it, {_HOW}") from None
        except (OSError, ValueError) as error:
            raise CassetteError(f"cassette {path} cannot be read", seen=str(error), cure=_RECORD) from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CassetteError(f"{path} is no cassette", seen=f"its format is not {FORMAT!r}", cure=_RECORD)
        if content.get("version") != VERSION:
            raise CassetteError(
                f"cassette {path} has version {content.get('version')!r} of the format; known is {VERSION}",
                cure=f"use the release that has recorded it, or {_RECORD}",
            )
        try:
            return cls(tuple(map(_exchange_from_json, content["exchanges"])), content["about"])
        except (KeyError, TypeError, ValueError) as error:
            seen = f"{type(error).__name__}: {error}"
            raise CassetteError(f"cassette {path} is damaged", seen=seen, cure=_RECORD) from error


_HOW = "where there is a Ganeti: --vcluster-rapi=record"
_RECORD = f"record it again, {_HOW}"


def _exchange_to_json(exchange: Exchange) -> dict[str, Any]:
    request, answer = exchange.request, exchange.answer
    asked: dict[str, Any] = {"method": request.method, "path": request.path}
    if request.query:
        asked["query"] = [list(pair) for pair in request.query]
    if request.credentials != OURS:
        asked["credentials"] = request.credentials
    asked.update(_body_to_json(request.body))
    if answer is None:
        return {"request": asked, "answer": None}
    said = {"status": answer.status, "headers": dict(answer.headers), **_body_to_json(answer.body)}
    return {"request": asked, "answer": said}


def _exchange_from_json(value: Mapping[str, Any]) -> Exchange:
    asked, said = value["request"], value["answer"]
    request = Request(
        asked["method"],
        asked["path"],
        tuple((str(name), str(text)) for name, text in asked.get("query", ())),
        asked.get("credentials", OURS),
        _body_from_json(asked),
    )
    if said is None:
        return Exchange(request, None)
    return Exchange(request, Answer(int(said["status"]), dict(said["headers"]), _body_from_json(said)))


_KINDS = ("json", "text", "base64")


def _body_to_json(body: Body | None) -> dict[str, Any]:
    return {} if body is None else {body.kind: body.value}


def _body_from_json(value: Mapping[str, Any]) -> Body | None:
    return next((Body(kind, value[kind]) for kind in _KINDS if kind in value), None)


def nearest(request: Request, recorded: Iterable[Request]) -> Request | None:
    """Return the recorded request that is most like one that was not recorded; None where there is none."""
    return max(recorded, key=lambda other: _likeness(request, other), default=None)


def _likeness(one: Request, other: Request) -> tuple[int, ...]:
    parts, others = one.path.split("/"), other.path.split("/")
    same = sum(part == its for part, its in zip(parts, others))
    return (
        int(one.path == other.path),
        same - abs(len(parts) - len(others)),
        int(one.method == other.method),
        int(one.query == other.query),
        int(one.credentials == other.credentials),
    )
