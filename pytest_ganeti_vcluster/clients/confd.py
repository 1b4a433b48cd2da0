"""A small client of ganeti-confd, enough to know that it is ready and whom it takes for the master.

The protocol (doc/design-2.1.rst, lib/confd/client.py) is one signed JSON message per UDP datagram, behind
four magic bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
import uuid
from typing import Any, Callable

import attrs

from pytest_ganeti_vcluster.clients.deadline import Deadline
from pytest_ganeti_vcluster.errors import GanetiError

MAGIC = b"plj0"
PROTOCOL_VERSION = 1
#: `constants.CONFD_REQ_*`
REQ_PING = 0
REQ_NODE_ROLE_BYNAME = 1
REQ_CLUSTER_MASTER = 3
REQ_NODE_PIP_LIST = 4
REQ_MC_PIP_LIST = 5
REQ_INSTANCES_IPS_LIST = 6
#: UDP loses datagrams, so a request is sent again after so many seconds without an answer.
_AGAIN = 1.0
_LARGEST = 65536


@attrs.frozen
class ConfdReply:
    """The answer of one confd: `status` is 0 for success, `serial` the number of its configuration."""

    status: int
    answer: Any
    serial: int

    @property
    def ok(self) -> bool:
        """Whether confd could answer."""
        return self.status == 0


@attrs.frozen
class ConfdClient:
    """Ask the confd at `address`; `hmac_key` is all of var/lib/ganeti/hmac.key, the line end included.

    `make_socket` makes a socket of a kind where that is to be another than this process would make.
    """

    hmac_key: bytes = attrs.field(repr=False)
    address: str
    port: int = 1814
    make_socket: Callable[[int], socket.socket] | None = attrs.field(default=None, repr=False)

    def ping(self, timeout: float = 2.0) -> bool:
        """Give whether confd answers a ping in `timeout` seconds; at once `False` where nothing listens."""
        try:
            return self.query(REQ_PING, "", timeout=timeout).ok
        except GanetiError:
            return False

    def query(self, kind: int, query: Any = None, *, timeout: float = 10.0) -> ConfdReply:
        """Send a request of one of the kinds `REQ_*` and give the answer, whatever its status.

        Answers that are not signed with the cluster's key, or are to another request, are passed over. Raises
        `GanetiError` if none comes in time, or nothing listens there.
        """
        deadline = Deadline.after(timeout)
        salt = str(uuid.uuid4())
        request = {"protocol": PROTOCOL_VERSION, "type": kind, "query": query, "rsalt": salt}
        with self._socket() as connection:
            try:
                connection.connect((self.address, self.port))
                while not deadline.passed():
                    # The salt of a request is its time: confd refuses what is older than five minutes.
                    connection.send(self._sign(request, f"{time.time():.0f}"))
                    reply = self._receive(connection, salt, Deadline.after(deadline.remaining(_AGAIN)))
                    if reply is not None:
                        return reply
            except OSError as problem:
                message = f"Cannot ask confd at {self.address} port {self.port}: {problem}"
                raise GanetiError(
                    message, cure="see var/log/ganeti/conf-daemon.log of that node"
                ) from problem
        raise GanetiError(
            f"No answer from confd at {self.address} port {self.port} in {timeout:g} s",
            cure="confd is silent where the key is wrong or the clocks differ by more than 5 minutes",
        )

    def _socket(self) -> socket.socket:
        if self.make_socket is not None:
            return self.make_socket(socket.SOCK_DGRAM)
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        return socket.socket(family, socket.SOCK_DGRAM)

    def _receive(self, connection: socket.socket, salt: str, deadline: Deadline) -> ConfdReply | None:
        while not deadline.passed():
            connection.settimeout(max(deadline.remaining(_AGAIN), 1e-6))
            try:
                datagram = connection.recv(_LARGEST)
            except socket.timeout:
                return None
            reply = self._verify(datagram, salt)
            if reply is not None:
                return reply
        return None

    def _digest(self, salt: str, message: str) -> str:
        # `utils.Sha1Hmac` with a salt; SHA-1 is what the protocol has.
        return hmac.new(self.hmac_key, (salt + message).encode("utf-8"), hashlib.sha1).hexdigest()

    def _sign(self, request: Any, salt: str) -> bytes:
        message = json.dumps(request)
        signed = {"msg": message, "salt": salt, "hmac": self._digest(salt, message)}
        return MAGIC + json.dumps(signed).encode("utf-8")

    def _verify(self, datagram: bytes, salt: str) -> ConfdReply | None:
        if not datagram.startswith(MAGIC):
            return None
        try:
            signed = json.loads(datagram[len(MAGIC) :].decode("utf-8"))
            message, got_salt, digest = str(signed["msg"]), str(signed["salt"]), str(signed["hmac"])
            if got_salt != salt or not hmac.compare_digest(digest, self._digest(got_salt, message)):
                return None
            answer = json.loads(message)
            return ConfdReply(int(answer["status"]), answer["answer"], int(answer["serial"]))
        except (ValueError, KeyError, TypeError):
            return None
