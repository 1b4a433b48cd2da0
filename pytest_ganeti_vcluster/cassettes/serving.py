"""An HTTPS server on the loopback interface for whatever answers requests; with a certificate of its own authority.

As Ganeti's it serves one request for each connection, and reads no chunked bodies (lib/http/server.py, lib/http).
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import attrs
import trustme

from pytest_ganeti_vcluster.cassettes.cassette import NONE, OTHERS, OURS

HOST = "127.0.0.1"

#: Seconds that a client may take to send a request or to take an answer.
_PATIENCE = 60.0

#: Headers that are the server's own business, on either side of a proxy.
OF_CONNECTIONS = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


@attrs.frozen
class Asked:
    """A request as it came: `target` is path and query, as sent; `credentials` as in `cassette.Request`."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    credentials: str
    data: bytes


@attrs.frozen
class Said:
    """An answer as it goes out, to which length and connection are added."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Answers(Protocol):
    """Whatever answers; called in a thread of each request."""

    def answer(self, asked: Asked) -> Said | None:
        """Answer a request; None: the connection is closed without an answer."""


@attrs.frozen
class Credentials:
    """Name and password that the server takes for its user's."""

    username: str
    password: str = attrs.field(repr=False)

    def whose(self, header: str | None) -> str:
        """Tell whose an `Authorization` header is: `OURS`, `NONE` or `OTHERS`."""
        if header is None:
            return NONE
        ours = base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")
        scheme, _, token = header.strip().partition(" ")
        return OURS if scheme.lower() == "basic" and token.strip() == ours else OTHERS


class RapiServer:
    """Serves `answers` from now on until it is closed; a context manager that does so.

    `url` is where; `ca_file`, in `folder`, is the authority that its certificate is from.
    """

    def __init__(self, answers: Answers, credentials: Credentials, folder: Path) -> None:
        self.ca_file = folder / "rapi-ca.pem"
        authority = trustme.CA(organization_name="pytest-ganeti-vcluster")
        issued = authority.issue_cert(HOST, "localhost")
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issued.configure_cert(context)
        self._server = _Server(answers, credentials, context)
        self.url = f"https://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="rapi-server", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> RapiServer:  # noqa: PYI034  typing.Self comes with Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, with the requests that are under way."""
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # Their end is waited for, once their sockets are shut down.
    daemon_threads = False
    block_on_close = True

    def __init__(self, answers: Answers, credentials: Credentials, context: ssl.SSLContext) -> None:
        self.answers = answers
        self.credentials = credentials
        self._context = context
        self._lock = threading.Lock()
        self._open: set[ssl.SSLSocket] = set()
        self._ending = False
        super().__init__((HOST, 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, in the thread of the request: one who says nothing keeps nobody else waiting."""
        request.settimeout(_PATIENCE)
        try:
            wrapped = self._context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        except OSError:
            # It has gone already.
            return
        with self._lock:
            self._open.add(wrapped)
            ends = self._ending
        try:
            if ends:
                return
            wrapped.do_handshake()
            super().finish_request(wrapped, client_address)
        except OSError:
            # A client that does not trust the certificate, or has gone away: it is the one to complain.
            return
        finally:
            with self._lock:
                self._open.discard(wrapped)
                wrapped.close()

    def end_connections(self) -> None:
        with self._lock:
            self._ending = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    # Not as TLS has it, which belongs to the thread that reads.
                    socket.socket.shutdown(one, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        self.close_connection = True
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self._send(Said(HTTPStatus.LENGTH_REQUIRED, {"Content-Type": "text/plain"}, _CHUNKED))
            return
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit():
            self._send(Said(HTTPStatus.BAD_REQUEST, {"Content-Type": "text/plain"}, b"bad Content-Length\n"))
            return
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            # It has gone away in the midst of it.
            return
        asked = Asked(
            self.command,
            self.path,
            tuple(self.headers.items()),
            self.server.credentials.whose(self.headers.get("Authorization")),
            data,
        )
        said = self.server.answers.answer(asked)
        if said is not None:
            self._send(said)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _serve  # noqa: N815

    def _send(self, said: Said) -> None:
        self.send_response_only(said.status)
        for name, value in said.headers.items():
            if name.lower() not in OF_CONNECTIONS and name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(said.data)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing: what matters is told where it is asked for."""
        del format, args


_CHUNKED = b"Ganeti's RAPI reads no chunked requests: send a Content-Length\n"
