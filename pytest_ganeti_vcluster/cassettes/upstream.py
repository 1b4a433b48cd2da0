"""The RAPI that a proxy passes requests on to."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from pytest_ganeti_vcluster.cassettes.cassette import Answer, Body, Exchange, Request
from pytest_ganeti_vcluster.cassettes.serving import OF_CONNECTIONS, Asked, Said

#: Headers of a request that are the proxy's to write.
_OWN = OF_CONNECTIONS | {"host", "content-length", "expect"}

#: Headers of an answer that are worth keeping: others are those of any answer.
_KEPT = ("Content-Type", "Server", "WWW-Authenticate")


@attrs.frozen
class Upstream:
    """The RAPI at `url`, whose certificate `ca_file` has issued. `timeout`: seconds for connecting, and each read."""

    url: str
    ca_file: Path
    timeout: float = 60.0

    def ask(self, asked: Asked) -> Said | None:
        """Pass a request on, unchanged but for what belongs to the connection; None where no answer came."""
        parts = urlsplit(self.url)
        # No URL is made of the target: libraries that take URLs write them in their own way.
        connection = http.client.HTTPSConnection(
            parts.hostname or "",
            parts.port or http.client.HTTPS_PORT,
            timeout=self.timeout,
            context=ssl.create_default_context(cafile=str(self.ca_file)),
        )
        try:
            connection.putrequest(asked.method, asked.target, skip_accept_encoding=True)
            for name, value in asked.headers:
                if name.lower() not in _OWN:
                    connection.putheader(name, value)
            if asked.data or asked.method in {"PUT", "POST"}:
                connection.putheader("Content-Length", str(len(asked.data)))
            connection.endheaders(asked.data or None)
            answer = connection.getresponse()
            return Said(answer.status, dict(answer.getheaders()), answer.read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def exchange_of(asked: Asked, said: Said | None) -> Exchange:
    """Return what is to be kept of a request and its answer."""
    request = Request.of(asked.method, asked.target, asked.credentials, asked.data)
    if said is None:
        return Exchange(request, None)
    given = {name.lower(): value for name, value in said.headers.items()}
    headers = {name: given[name.lower()] for name in _KEPT if name.lower() in given}
    return Exchange(request, Answer(said.status, headers, Body.read(said.data)))
