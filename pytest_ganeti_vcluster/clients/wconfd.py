"""The wconfd client: what Ganeti's jobs ask the daemon that has the configuration and the locks.

`var/run/ganeti/socket/ganeti-wconfd` on the master node speaks LUXI's framing with methods of its own, those of
`exportedFunctions` in src/Ganeti/WConfd/Core.hs, the same in Ganeti 3.0 and 3.1. It is no interface for users:
whoever holds locks here keeps jobs from running. Who asks for locks names a file that it holds a lock on, so that
wconfd can tell when it has died (lib/utils/livelock.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.clients.deadline import Deadline
from pytest_ganeti_vcluster.clients.refusals import read_refusal
from pytest_ganeti_vcluster.clients.transport import WCONFD, exchange
from pytest_ganeti_vcluster.errors import LuxiError, SpecError, WconfdError

#: Paths on the master (lib/pathutils.py).
SOCKET = "/var/run/ganeti/socket/ganeti-wconfd"
LIVELOCKS = "/var/run/ganeti/livelocks"

#: What may be asked for of a lock (src/Ganeti/WConfd/Language.hs).
EXCLUSIVE, SHARED, RELEASE = "exclusive", "shared", "release"
_REQUESTS = (EXCLUSIVE, SHARED, RELEASE)

#: Priorities are those of jobs: -20 to 19, less is sooner.
_PRIORITY = 0


@attrs.frozen
class LockOwner:
    """Somebody who may own locks for as long as a process holds `livelock`: a job by its id, or others by name."""

    name: int | str
    livelock: Path
    pid: int

    @classmethod
    @contextlib.contextmanager
    def alive(cls, folder: Path, name: int | str) -> Iterator[LockOwner]:
        """Be an owner that this process keeps alive, with a file in `folder` (the master's livelocks) until the end.

        wconfd takes locks from those whose file is free (src/Ganeti/WConfd/DeathDetection.hs); it looks every few
        seconds only: free them before.
        """
        path = folder / f"{name}_{secrets.token_hex(8)}"
        # Of the process, not of the descriptor: what we fork does not hold it.
        with path.open("w", encoding="ascii") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            try:
                yield cls(name, path, os.getpid())
            finally:
                path.unlink(missing_ok=True)

    def to_json(self) -> list[Any]:
        """Return it as the protocol has it (clientIdFromJSON in src/Ganeti/Locking/Locks.hs)."""
        return [self.name, str(self.livelock), self.pid]


@attrs.frozen
class WconfdClient:
    """Ask `ganeti-wconfd` behind `socket_path`; hold no connection between calls.

    `timeout` is what a call may take, in seconds, `connect_timeout` how long to keep trying while no daemon listens.
    Nothing is repeated. Every method raises `WconfdError`: with `kind` and `details` where Ganeti refused, without
    them where nobody answered or not in time.
    """

    socket_path: Path = attrs.field(converter=Path)
    timeout: float = 60.0
    connect_timeout: float = 5.0

    def ask(self, method: str, *args: Any, timeout: float | None = None) -> bytes:
        """Call any method and give the answer as it came, an error too: reading a large one takes time of its own."""
        try:
            request = json.dumps({"method": method, "args": list(args)}, allow_nan=False).encode("ascii")
        except (TypeError, ValueError) as problem:
            raise SpecError(
                f"The arguments of wconfd's {method} cannot be written as JSON: {problem}",
                cure="give strings, numbers, booleans, None, lists and dicts",
            ) from problem
        try:
            return exchange(
                self.socket_path,
                request,
                deadline=Deadline.after(self.timeout if timeout is None else timeout),
                connect_timeout=self.connect_timeout,
                listener=WCONFD,
            )
        except LuxiError as problem:
            message = f"wconfd's {method}: {problem.message}"
            raise WconfdError(message, seen=problem.seen, cure=problem.cure) from problem

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """Call any method, such as `call("listAllLocks")`, and give its result."""
        answer = self.ask(method, *args, timeout=timeout)
        try:
            document = json.loads(answer)
            success, result = document["success"], document["result"]
        except (ValueError, KeyError, TypeError) as problem:
            message = f"wconfd's {method}: the answer is no message of it ({problem!r})"
            raise WconfdError(message, seen=repr(answer[:500])) from problem
        if success:
            return result
        refusal = read_refusal(result)
        if refusal is None:
            raise WconfdError(f"wconfd's {method}: {result}", kind="RequestError", details=(result,))
        raise WconfdError(f"wconfd's {method}: {refusal}", kind=refusal.kind, details=refusal.details)

    # -- the configuration

    def read_config(self) -> dict[str, Any]:
        """Give the whole configuration, as `config.data` has it."""
        return dict(self.call("readConfig"))

    def lock_config(self, owner: LockOwner, *, shared: bool) -> dict[str, Any] | None:
        """Take the lock on the configuration and give the configuration, as jobs do; None where somebody has it."""
        config = self.call("lockConfig", owner.to_json(), shared)
        return None if config is None else dict(config)

    def unlock_config(self, owner: LockOwner) -> None:
        """Give the lock on the configuration back."""
        self.call("unlockConfig", owner.to_json())

    def flush_config(self) -> None:
        """Have the configuration distributed to the nodes as it is, and return when that is done."""
        self.call("flushConfig")

    # -- locks

    def try_update_locks(self, owner: LockOwner, wanted: Mapping[str, str]) -> list[list[Any]]:
        """Ask for locks, or give some back, all of them or none at once; give the owners that are in the way.

        `wanted` has `EXCLUSIVE`, `SHARED` or `RELEASE` by the name of a lock: "cluster/BGL", "node/UUID",
        "instance/NAME", "nodegroup/[lockset]", ... (lockName in src/Ganeti/Locking/Locks.hs).
        """
        return list(self.call("tryUpdateLocks", owner.to_json(), _requests(wanted)))

    def update_locks_waiting(
        self, owner: LockOwner, wanted: Mapping[str, str], priority: int = _PRIORITY
    ) -> list[list[Any]]:
        """Ask for locks as `try_update_locks` does, and stay in line where they are not to be had now.

        When they are, wconfd sends SIGHUP to the process `owner.pid`, which ends one that does not handle it
        (modifyLockWaiting in src/Ganeti/WConfd/Monad.hs, notifyJob in src/Ganeti/JQueue.hs).
        """
        return list(self.call("updateLocksWaiting", owner.to_json(), priority, _requests(wanted)))

    def has_pending_request(self, owner: LockOwner) -> bool:
        """Say whether an owner is in line."""
        return bool(self.call("hasPendingRequest", owner.to_json()))

    def free_locks(self, owner: LockOwner) -> None:
        """Give all locks of an owner back, and leave the line."""
        self.call("freeLocks", owner.to_json())

    def locks_of(self, owner: LockOwner) -> dict[str, str]:
        """Give the locks of an owner, "exclusive" or "shared" by name."""
        return dict(self.call("listLocks", owner.to_json()))

    def all_locks(self) -> list[str]:
        """Give the names of all locks that anybody has."""
        return list(self.call("listAllLocks"))


def _requests(wanted: Mapping[str, str]) -> Sequence[Sequence[str]]:
    for lock, request in wanted.items():
        if request not in _REQUESTS:
            raise SpecError(f"{request!r} for lock {lock}", cure="give one of " + ", ".join(_REQUESTS))
    return [[lock, request] for lock, request in wanted.items()]
