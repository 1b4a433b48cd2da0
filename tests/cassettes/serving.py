"""A RAPI of a test's own making, and requests to servers of cassettes, as any client makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import urllib3

from pytest_ganeti_vcluster.cassettes.serving import Answers, Asked, Credentials, RapiServer, Said

OURS = Credentials("user", "secret-word")
JSON = {"Content-Type": "application/json"}


@attrs.define
class Answering:
    """Answers by a function, and remembers what was asked."""

    function: Callable[[Asked], Said | None]
    asked: list[Asked] = attrs.field(factory=list)

    def answer(self, asked: Asked) -> Said | None:
        self.asked.append(asked)
        return self.function(asked)


def said(document: Any, status: int = 200, **headers: str) -> Said:
    return Said(status, {**JSON, **headers}, json.dumps(document).encode())


@contextmanager
def served(answers: Answers, folder: Path) -> Iterator[RapiServer]:
    folder.mkdir(exist_ok=True)
    with RapiServer(answers, OURS, folder) as server:
        yield server


def ask(
    server: RapiServer,
    method: str,
    target: str,
    body: Any = None,
    credentials: Credentials | None = OURS,
) -> tuple[int, Any]:
    """Make one request, the certificate checked; return status and decoded JSON."""
    headers = (
        {}
        if credentials is None
        else urllib3.make_headers(basic_auth=f"{credentials.username}:{credentials.password}")
    )
    with urllib3.PoolManager(ca_certs=str(server.ca_file), cert_reqs="CERT_REQUIRED") as pool:
        answer = pool.request(
            method,
            server.url + target,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            retries=False,
            timeout=30.0,
        )
        return answer.status, json.loads(answer.data) if answer.data else None
