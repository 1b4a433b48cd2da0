"""A request as the guard reads it, and whether the server can imitate what the client would have become."""

from __future__ import annotations

import array
import marshal
import os
import socket
import struct
from typing import Any

from . import client, wire

#: Variables (or beginnings of names) that an interpreter or a library reads once, when it is started or loaded.
_FIXED = (
    "PYTHON",
    "LD_",
    "GLIBC_",
    "MALLOC_",
    "OPENSSL_",
    "GNUTLS_",
    "CURL_",
    "LOCPATH",
    "GCONV_PATH",
    "NSS_WRAPPER_",
    "VCLUSTER_FARM",
    "VCLUSTER_SHARE",
    "VCLUSTER_WITHOUT",
)

#: ... except these, which are different on each node.
_OF_NODE = frozenset({"NSS_WRAPPER_PASSWD", "NSS_WRAPPER_HOSTNAME"})

#: Locales in which Python does the same: it uses UTF-8 and passes what is not through.
_PLAIN_LOCALES = frozenset({"", "C", "POSIX", "C.UTF-8", "C.utf8"})

_HEADER = 4


class CannotImitate(Exception):
    """The server cannot fork what the client would have become; the client runs the program itself."""


class Request:
    """What a client asks for.

    `environment` are its variables in their order; `descriptors` maps the numbers that the program is to have to
    the ones that were received, `folder` is its working directory's.
    """

    def __init__(self, fields: dict[str, Any], received: list[int]) -> None:
        *inherited, self.folder = received
        self.descriptors: dict[int, int] = dict(zip(fields["descriptors"], inherited))
        self.environment = {os.fsdecode(key): os.fsdecode(value) for key, value in fields["environment"]}
        self.stub = os.fsdecode(fields["stub"])
        self.program = os.fsdecode(fields["program"])
        self.argv = [os.fsdecode(argument) for argument in fields["argv"]]
        self.name: bytes = fields["name"]
        self.umask: int = fields["umask"]
        self.ignored = frozenset(fields["ignored"])
        self.blocked = frozenset(fields["blocked"])
        self.nice: int = fields["nice"]
        self.cpus = frozenset(fields["cpus"])
        self.leads_session: bool = fields["leads_session"]
        self.leads_group: bool = fields["leads_group"]
        self._scheduler: int = fields["scheduler"]
        self._groups: list[int] = fields["groups"]
        self._surroundings: list[tuple[int, int]] = fields["surroundings"]

    @classmethod
    def receive(cls, connection: socket.socket) -> Request:
        """Read one from a connection. ConnectionError where the client has gone, CannotImitate for what is none."""
        rights = array.array("i")
        header, messages, _flags, _address = connection.recvmsg(
            _HEADER, socket.CMSG_SPACE(4 * (wire.MOST_DESCRIPTORS + 1)), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in messages:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                rights.frombytes(data[: len(data) - len(data) % rights.itemsize])
        if len(header) < _HEADER:
            header += _exactly(connection, _HEADER - len(header))
        fields = marshal.loads(_exactly(connection, struct.unpack("=I", header)[0]))  # noqa: S302  of our own user
        if len(rights) != len(fields["descriptors"]) + 1:
            raise CannotImitate("not all of its descriptors arrived")
        return cls(fields, list(rights))

    def check(self, connection: socket.socket, cluster_root: str) -> None:
        """Raise `CannotImitate` unless the server is in all that matters as the client."""
        self._check_process(connection)
        root = os.path.normpath(self.environment.get("GANETI_ROOTDIR", ""))
        name = self.environment.get("GANETI_HOSTNAME", "")
        if not name or root != os.path.join(cluster_root, name):
            raise CannotImitate(f"{name!r} in {root!r} is no node of this cluster")
        for key in sorted(self.environment.keys() | os.environ.keys()):
            if key in _OF_NODE:
                if (key in self.environment) != (key in os.environ):
                    raise CannotImitate(f"it has {key}, or lacks it")
            elif key.startswith(_FIXED) and self.environment.get(key) != os.environ.get(key):
                raise CannotImitate(f"it has another {key}")
        ours, theirs = _locale(os.environ), _locale(self.environment)
        if ours != theirs and not {ours, theirs} <= _PLAIN_LOCALES:
            raise CannotImitate(f"its locale is {theirs!r}, not {ours!r}")

    def _check_process(self, connection: socket.socket) -> None:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1:] != (os.geteuid(), os.getegid()):
            raise CannotImitate("it is another user's")
        if sorted(self._groups) != sorted(os.getgroups()):
            raise CannotImitate("it has other groups")
        if self._surroundings != client.surroundings():
            raise CannotImitate("it has another root folder, or is in another namespace")
        if self._scheduler != os.sched_getscheduler(0):
            raise CannotImitate("it has another scheduling policy")


def _locale(environment: Any) -> str:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = environment.get(name)
        if value:
            return str(value)
    return ""


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionError("the client has gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
