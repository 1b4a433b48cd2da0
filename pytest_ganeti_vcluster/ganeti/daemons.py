"""Ganeti's daemons: their names, ports and log files, and how each is asked whether it is ready."""

from __future__ import annotations

import functools
import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.clients.confd import REQ_PING, ConfdClient
from pytest_ganeti_vcluster.clients.luxi import LuxiClient
from pytest_ganeti_vcluster.engines.network import MachineNetwork, Network
from pytest_ganeti_vcluster.errors import GanetiError
from pytest_ganeti_vcluster.ganeti.ssconf import read_ssconf

#: Ports, from Ganeti's src/Ganeti/Constants.hs (daemonsPorts).
NODED_PORT = 1811
CONFD_PORT = 1814
MOND_PORT = 1815
RAPI_PORT = 5080
#: Ganeti's own is 80, for which one needs a privilege; ours stands in METAD_ARGS.
METAD_PORT = 8080

_TIMEOUT = 5.0


@attrs.frozen
class NodeAddress:
    """Where a node's daemons are to be found: its IP address in `network`, and its root folder.

    `credentials` is the root of a master candidate, as which noded is asked; None: the node itself if it is one, else
    one that it knows of.
    """

    ip: str
    root: Path
    credentials: Path | None = None
    network: Network = attrs.field(factory=MachineNetwork, repr=False)

    def connect(self, port: int) -> socket.socket:
        """Return a connection to one of its daemons. Raises `OSError`."""
        return self.network.connect(self.ip, port, _TIMEOUT)

    def path(self, inner: str) -> Path:
        """Path of a file of the node."""
        return self.root / inner.lstrip("/")


@functools.lru_cache(maxsize=8)
def _context(certificate: Path | None, _written: int, _inode: int) -> ssl.SSLContext:
    """Make what is the same for all nodes that are asked with one certificate: most of the cost of asking."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A daemon's certificate says nothing about its address (its CN is fixed); only its answer is wanted here.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def _connect_tls(node: NodeAddress, port: int, certificate: Path | None = None) -> ssl.SSLSocket:
    written = certificate.stat() if certificate is not None else None
    context = _context(certificate, *(written.st_mtime_ns, written.st_ino) if written else (0, 0))
    return context.wrap_socket(node.connect(port))


def _ask_http(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> http.client.HTTPResponse:
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    return response


def _ask_noded(node: NodeAddress) -> None:
    # The RPC that Ganeti itself begins with (lib/bootstrap.py, _WaitForNodeDaemon), as a master candidate.
    connection = http.client.HTTPConnection(node.ip, NODED_PORT, timeout=_TIMEOUT)
    candidate = node.credentials or _candidate(node.root)
    connection.sock = _connect_tls(node, NODED_PORT, candidate / "var/lib/ganeti/client.pem")
    response = _ask_http(connection, "POST", "/version", "[]")
    if response.status != http.client.OK:
        raise ConnectionError(f"noded answers with HTTP status {response.status}")


def _candidate(root: Path) -> Path:
    """Return the root of a master candidate that a node lets in; its own where it knows of no other that is here."""
    names = (read_ssconf(root, "master_candidates") or "").split()
    known = [root.parent / name for name in names]
    return root if root in known else next((one for one in known if one.is_dir()), root)


def _ask_rapi(node: NodeAddress) -> None:
    connection = http.client.HTTPConnection(node.ip, RAPI_PORT, timeout=_TIMEOUT)
    connection.sock = _connect_tls(node, RAPI_PORT)
    _ask_http(connection, "GET", "/version")


def _ask_mond(node: NodeAddress) -> None:
    _ask_plain(node, MOND_PORT)


def _ask_metad(node: NodeAddress) -> None:
    _ask_plain(node, METAD_PORT)


def _ask_plain(node: NodeAddress, port: int) -> None:
    connection = http.client.HTTPConnection(node.ip, port, timeout=_TIMEOUT)
    connection.sock = node.connect(port)
    _ask_http(connection, "GET", "/")


def _ask_luxid(node: NodeAddress) -> None:
    socket_path = node.path("var/run/ganeti/socket/ganeti-query")
    LuxiClient(socket_path, timeout=_TIMEOUT, connect_timeout=0.1).query_cluster_info()


def _ask_wconfd(node: NodeAddress) -> None:
    # The same framing as LUXI, on a socket of its own (src/Ganeti/WConfd/Core.hs: exportedFunctions).
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(str(node.path("var/run/ganeti/socket/ganeti-wconfd")))
        connection.sendall(json.dumps({"method": "echo", "args": ["ready"]}).encode() + b"\x03")
        answer = b""
        while not answer.endswith(b"\x03"):
            received = connection.recv(4096)
            if not received:
                raise ConnectionError("wconfd closed the connection")
            answer += received
    if json.loads(answer[:-1]).get("result") != "ready":
        raise ConnectionError(f"wconfd answered {answer!r}")


def _ask_confd(node: NodeAddress) -> None:
    key = node.path("var/lib/ganeti/hmac.key").read_bytes()
    try:
        reply = ConfdClient(key, node.ip, CONFD_PORT, node.network.new_socket).query(
            REQ_PING, "", timeout=1.0
        )
    except GanetiError as error:
        raise ConnectionError("confd does not answer a ping") from error
    # Only master candidates have a configuration to serve; elsewhere confd runs as well, and answers with an error.
    if not reply.ok and node.path("var/lib/ganeti/config.data").exists():
        raise ConnectionError(f"confd answers a ping with {reply.answer!r}")


@attrs.frozen
class Daemon:
    """One of Ganeti's daemons. `ask` raises unless it answers in its own protocol; `master_only` where so.

    `on_demand` is one that Ganeti starts when it first needs it, and that no node has to have.
    """

    name: str
    log_name: str
    ask: Callable[[NodeAddress], None] = attrs.field(repr=False)
    master_only: bool = False
    on_demand: bool = False

    @property
    def program(self) -> str:
        """Its name as a process and for daemon-util."""
        return f"ganeti-{self.name}"

    def log_path(self, root: Path) -> Path:
        """Path of its log on a node."""
        return root / "var/log/ganeti" / f"{self.log_name}.log"

    def pid_path(self, root: Path) -> Path:
        """Path of its pid file on a node."""
        return root / "var/run/ganeti" / f"{self.program}.pid"


#: By short name; log names from src/Ganeti/Constants.hs (daemonsLogbase).
DAEMONS: dict[str, Daemon] = {
    daemon.name: daemon
    for daemon in (
        Daemon("noded", "node-daemon", _ask_noded),
        Daemon("wconfd", "wconf-daemon", _ask_wconfd, master_only=True),
        Daemon("luxid", "luxi-daemon", _ask_luxid, master_only=True),
        Daemon("rapi", "rapi-daemon", _ask_rapi, master_only=True),
        Daemon("confd", "conf-daemon", _ask_confd),
        Daemon("mond", "monitoring-daemon", _ask_mond),
        Daemon("metad", "meta-daemon", _ask_metad, on_demand=True),
    )
}

#: Those that a spec may add to the ones that Ganeti cannot be without.
OPTIONAL_DAEMONS = ("confd", "mond")

#: What tells that a daemon is not ready yet.
NOT_READY = (OSError, ssl.SSLError, http.client.HTTPException, ValueError)
