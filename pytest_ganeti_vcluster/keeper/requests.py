"""What clients may ask of a keeper: one method per request."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

import attrs

from pytest_ganeti_vcluster.keeper.children import StartedChild, start_child
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo, descendants, is_below
from pytest_ganeti_vcluster.keeper.protocol import Channel
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.keeper.server import Server

_STANDARD = 3


class Refused(Exception):
    """A request cannot be carried out; `errno` is the system's reason, if it was the system's."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.errno = number


@attrs.frozen
class Requests:
    """Carries out requests for a server."""

    server: Server

    def handle(
        self, channel: Channel, message: dict[str, Any], descriptors: Sequence[int]
    ) -> dict[str, Any] | None:
        """Carry out one request; its answer, or None when that comes later.

        Raises `Refused`, and `KeyError`, `TypeError` or `ValueError` on what is not a request.
        """
        operations: dict[str, Callable[..., dict[str, Any] | None]] = {
            "hold": self._hold,
            "release": self._release,
            "run": self._run,
            "spawn": self._spawn,
            "wait": self._wait,
            "processes": self._processes,
            "signal": self._signal,
            "set": self._set,
            "stop": self._stop,
        }
        operation = operations.get(message["op"])
        if operation is None:
            raise Refused(f"this keeper does not know {message['op']!r}: it was started by another version")
        if message["op"] in {"run", "spawn", "wait"}:
            return operation(channel, message, descriptors)
        return operation(message)

    def _hold(self, message: dict[str, Any]) -> dict[str, Any]:
        place = (str(message["address"]), int(message["port"]))
        if place in self.server.claims:
            return {"ok": True, "held": False}
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # Bound and never listening, without SO_REUSEADDR: nobody else can bind it, of whatever user or
            # container.
            claim.bind(place)
        except OSError as error:
            claim.close()
            if error.errno == errno.EADDRINUSE:
                return {"ok": True, "held": False}
            raise Refused(f"cannot bind {place[0]}:{place[1]}: {error}", error.errno or 0) from None
        self.server.claims[place] = claim
        return {"ok": True, "held": True}

    def _release(self, message: dict[str, Any]) -> dict[str, Any]:
        claim = self.server.claims.pop((str(message["address"]), int(message["port"])), None)
        if claim is not None:
            claim.close()
        return {"ok": True}

    def _run(self, channel: Channel, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        child = self._start(message, descriptors, owner=channel)
        timeout = message["timeout"]
        child.deadline = None if timeout is None else child.began + float(timeout)

    def _spawn(
        self, _channel: Channel, message: dict[str, Any], descriptors: Sequence[int]
    ) -> dict[str, Any]:
        child = self._start(message, descriptors, owner=None)
        return {"ok": True, "identity": child.identity.to_json()}

    def _start(
        self, message: dict[str, Any], descriptors: Sequence[int], *, owner: Channel | None
    ) -> StartedChild:
        if len(descriptors) != _STANDARD:
            raise Refused(f"a program gets {_STANDARD} descriptors, not {len(descriptors)}")
        argv = [str(argument) for argument in message["argv"]]
        env = dict(os.environ) if message["env"] is None else dict(message["env"])
        env[TOKEN_VARIABLE] = self.server.record.token
        began = time.monotonic()
        try:
            identity = start_child(argv, env=env, cwd=message["cwd"], descriptors=descriptors)
        except OSError as error:
            raise Refused(f"cannot start {argv[0]}: {error}", error.errno or 0) from None
        child = StartedChild(identity=identity, owner=owner, began=began)
        self.server.own(child)
        return child

    def _wait(
        self, channel: Channel, message: dict[str, Any], _descriptors: Sequence[int]
    ) -> dict[str, Any] | None:
        from pytest_ganeti_vcluster.keeper.server import Wait

        identity = ProcessIdentity.from_json(message["identity"])
        child = self.server.children.get(identity)
        if child is None:
            raise Refused(f"process {identity.pid} was not started by this keeper", errno.ECHILD)
        timeout = message["timeout"]
        if child.ended is not None or timeout == 0:
            return {"ok": True, "returncode": child.returncode}
        deadline = None if timeout is None else time.monotonic() + float(timeout)
        self.server.waits.append(Wait(channel, child, deadline))
        return None

    def _processes(self, _message: dict[str, Any]) -> dict[str, Any]:
        stats = [stat for stat in descendants(os.getpid()) if not stat.is_zombie]
        return {"ok": True, "processes": [ProcessInfo.of(stat).to_json() for stat in stats]}

    def _signal(self, message: dict[str, Any]) -> dict[str, Any]:
        identity = ProcessIdentity.from_json(message["identity"])
        if not self._is_ours(identity):
            if identity.is_alive():
                raise Refused(f"process {identity.pid} does not belong to this cluster", errno.EPERM)
            return {"ok": True, "sent": False}
        try:
            return {"ok": True, "sent": identity.signal(int(message["signal"]))}
        except OSError as error:
            raise Refused(f"cannot signal process {identity.pid}: {error}", error.errno or 0) from None

    @staticmethod
    def _is_ours(identity: ProcessIdentity) -> bool:
        # A look at its parents is quick; where one of them ended meanwhile, it is looked for among all.
        if identity.exists() and is_below(os.getpid(), identity.pid):
            return True
        return identity in {stat.identity for stat in descendants(os.getpid())}

    def _set(self, message: dict[str, Any]) -> dict[str, Any]:
        """Change what `keeper.json` says of us, there and in fact."""
        record = self.server.record
        record = attrs.evolve(
            record,
            persistent=bool(message.get("persistent", record.persistent)),
            keep_root=bool(message.get("keep_root", record.keep_root)),
        )
        try:
            record.write(self.server.root)
        except OSError as error:
            raise Refused(f"cannot write the keeper's record: {error}", error.errno or 0) from None
        self.server.record = record
        return {"ok": True}

    def _stop(self, _message: dict[str, Any]) -> dict[str, Any]:
        self.server.stopping = True
        return {"ok": True}
