"""The keeper as its clients see it: start it, reach it, have it run programs, let it go."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Callable

import attrs

from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.asking import accepted, connect, exchange, launch
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo, descendants
from pytest_ganeti_vcluster.keeper.protocol import Channel, ProtocolError
from pytest_ganeti_vcluster.keeper.record import (
    TOKEN_VARIABLE,
    KeeperRecord,
    as_disk_full,
    check_socket_path,
    dead,
)
from pytest_ganeti_vcluster.keeper.stdio import memory, read_all, source

#: Seconds in which a keeper answers what it can answer at once.
_PROMPT = 30.0

#: Seconds beyond a command's own time-out that ending it may take.
_ENDING = 15.0

#: Seconds that it may take to end everything and remove the folder, and in addition for each process: hundreds share
#: two cores, and on a busy machine thousands of files are not removed at once.
_STOPPING, _STOPPING_EACH = 120.0, 0.3

_ANNOUNCE: ContextVar[Callable[[Keeper], None] | None] = ContextVar("_ANNOUNCE", default=None)


@contextlib.contextmanager
def keepers_announced(announce: Callable[[Keeper], None]) -> Iterator[None]:
    """Have `announce` called for each keeper that this thread starts inside, before it is asked for anything.

    So another thread can end what this one builds: with its keeper stopped, all that is going on there fails.
    """
    token = _ANNOUNCE.set(announce)
    try:
        yield
    finally:
        _ANNOUNCE.reset(token)


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a command.

    `returncode` is minus the signal's number when one ended it. `timed_out`: it, and all that belongs to
    it, was ended after its `timeout`. `stdout` and `stderr` are what was written before the command ended;
    daemons that it left may go on writing, to nobody.
    """

    argv: tuple[str, ...]
    pid: int
    returncode: int
    stdout: bytes
    stderr: bytes
    duration: float
    timed_out: bool


@attrs.frozen
class Child:
    """A program that runs on its own below the keeper."""

    keeper: Keeper
    identity: ProcessIdentity

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.identity.pid

    def poll(self) -> int | None:
        """Its exit status (minus the signal's number when one ended it), or None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end, at most `timeout` seconds (None: no limit); its exit status, or None."""
        return self.keeper.wait(self.identity, timeout)

    def signal(self, number: int) -> bool:
        """Send it a signal; False when it is gone."""
        return self.keeper.signal(self.identity, number)


@attrs.define(eq=False, kw_only=True)
class Keeper:
    """A connection to the keeper of a root. As long as it is open, the keeper stays.

    Any thread may call any method; what takes long has a connection of its own. Every method raises
    `KeeperError` when the keeper is gone or refuses.
    """

    root: Path
    identity: ProcessIdentity
    guardian: ProcessIdentity
    guard: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    _channel: Channel | None
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        # A child that we fork (multiprocessing, say) is not to keep the cluster alive after us.
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(reference))

    @classmethod
    def start(
        cls, root: Path, *, token: str, environment: Mapping[str, str] | None = None, timeout: float = 10.0
    ) -> Keeper:
        """Start the keeper of a root that `create_root` made, and connect to it.

        `environment` is added to ours for what the keeper starts without an environment of its own. Raises
        `KeeperError` (with the end of its log), `DiskFull`, `PathTooLong`; the root is then still the
        caller's to remove.
        """
        root = root.absolute()
        check_socket_path(root)
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        try:
            with theirs:
                launch(root, theirs, {**os.environ, **(environment or {}), TOKEN_VARIABLE: token}, timeout)
            hello = channel.receive(timeout)
        except TimeoutError:
            channel.close()
            raise dead(root, f"did not report within {timeout:g} s") from None
        except (OSError, ProtocolError) as error:
            channel.close()
            if isinstance(error, OSError) and (disk_full := as_disk_full(error, root)):
                raise disk_full from error
            raise dead(root, f"could not be started: {error}") from error
        except BaseException:
            channel.close()
            raise
        try:
            hello = accepted(root, hello)
        except BaseException:
            channel.close()
            raise
        keeper = cls(
            root=root,
            identity=ProcessIdentity.from_json(hello["identity"]),
            guardian=ProcessIdentity.from_json(hello["guardian"]),
            guard={name: tuple(value) for name, value in hello["guard"].items()},
            channel=channel,
        )
        announce = _ANNOUNCE.get()
        if announce is not None:
            announce(keeper)
        return keeper

    @classmethod
    def connect(cls, root: Path) -> Keeper:
        """Connect to the keeper of a root. Raises `KeeperError` with the end of its log when it is dead."""
        root = root.absolute()
        record = KeeperRecord.read(root)
        if record is None:
            raise dead(root, "left no record: it never began, or the cluster has ended")
        return cls(root=root, identity=record.identity, guardian=record.guardian, channel=connect(root))

    @property
    def record(self) -> KeeperRecord:
        """What `keeper.json` says now."""
        record = KeeperRecord.read(self.root)
        if record is None:
            raise dead(self.root, "has gone, and its record with it")
        return record

    def hold(self, address: str, port: int) -> bool:
        """Bind a TCP socket there and hold it until `release` or the keeper's end; False when in use."""
        return bool(self._ask("hold", address=address, port=port)["held"])

    def release(self, address: str, port: int) -> None:
        """Let go of what `hold` holds; nothing if it holds nothing there."""
        self._ask("release", address=address, port=port)

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        stdin: bytes | None = None,
        timeout: float | None = None,
        watch: Callable[[], None] | None = None,
    ) -> Outcome:
        """Run a command to its end and give what came of it, whatever its exit status.

        `env` is its whole environment, to which the cluster's token is added (None: the keeper's); `cwd`
        `/` unless given; `stdin` None is /dev/null. It has a session of its own. After `timeout` seconds it
        is ended with all that is below it or in its session. What daemonized itself stays. `watch` is called
        again and again meanwhile; what it raises ends the command, and is raised. Raises `KeeperError` when
        it cannot be executed.
        """
        texts = tuple(os.fspath(argument) for argument in argv)
        with contextlib.ExitStack() as stack:
            stdin_file = stack.enter_context(source(stdin))
            # Files, not pipes: a daemon may hold them long after the command has ended, and no amount of
            # output blocks anybody.
            stdout, stderr = (stack.enter_context(memory(name)) for name in ("stdout", "stderr"))
            channel = connect(self.root)
            # Closing it in the middle (an interrupt, say) tells the keeper to end the command.
            stack.callback(channel.close)
            answer = exchange(
                self.root,
                channel,
                {"op": "run", "argv": texts, "env": _plain(env), "cwd": _text(cwd), "timeout": timeout},
                [stdin_file.fileno(), stdout.fileno(), stderr.fileno()],
                timeout=None if timeout is None else timeout + _ENDING,
                watch=watch,
            )
            if answer["returncode"] is None:
                raise KeeperError(
                    f"{texts[0]} (process {answer['pid']}) could not be ended after {timeout} s",
                    seen=read_all(stderr).decode(errors="replace")[-2000:],
                    cure="look at the process: it is probably stuck in the kernel",
                )
            return Outcome(
                argv=texts,
                pid=answer["pid"],
                returncode=answer["returncode"],
                stdout=read_all(stdout),
                stderr=read_all(stderr),
                duration=answer["duration"],
                timed_out=answer["timed_out"],
            )

    def run_connected(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        descriptors: Sequence[int],
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
    ) -> int:
        """Run a command whose standard input, output and error are these descriptors of ours; its exit status.

        Where we go, or are interrupted, it is ended. Else as `run`.
        """
        texts = [os.fspath(argument) for argument in argv]
        channel = connect(self.root)
        with contextlib.closing(channel):
            request = {"op": "run", "argv": texts, "env": _plain(env), "cwd": _text(cwd), "timeout": None}
            answer = exchange(self.root, channel, request, descriptors, timeout=None)
        return int(answer["returncode"])

    def spawn(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        stdout: Path,
        stderr: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
    ) -> Child:
        """Start a program that runs on its own until it ends or the keeper does.

        Output is appended to `stdout` and `stderr` (None: to the same file). Else as `run`.
        """
        with contextlib.ExitStack() as stack:
            stdin_file = stack.enter_context(source(None))
            out = stack.enter_context(stdout.open("ab"))
            err = out if stderr is None else stack.enter_context(stderr.open("ab"))
            answer = self._ask(
                "spawn",
                [stdin_file.fileno(), out.fileno(), err.fileno()],
                argv=[os.fspath(argument) for argument in argv],
                env=_plain(env),
                cwd=_text(cwd),
            )
        return Child(self, ProcessIdentity.from_json(answer["identity"]))

    def wait(self, identity: ProcessIdentity, timeout: float | None = None) -> int | None:
        """Wait for the end of what `spawn` started; see `Child.wait`."""
        request = {"op": "wait", "identity": identity.to_json(), "timeout": timeout}
        if timeout == 0:
            returncode = self._ask("wait", identity=identity.to_json(), timeout=0)["returncode"]
        else:
            channel = connect(self.root)
            with contextlib.closing(channel):
                bound = None if timeout is None else timeout + _PROMPT
                returncode = exchange(self.root, channel, request, (), timeout=bound)["returncode"]
        return None if returncode is None else int(returncode)

    def processes(self) -> list[ProcessInfo]:
        """Every process of the cluster that runs, the keeper itself not counted."""
        return [ProcessInfo.from_json(value) for value in self._ask("processes")["processes"]]

    def signal(self, identity: ProcessIdentity, number: int) -> bool:
        """Send a signal to a process of the cluster; False when it is gone."""
        return bool(self._ask("signal", identity=identity.to_json(), signal=int(number))["sent"])

    def persist(self, stay: bool) -> None:  # noqa: FBT001 - the one thing that it sets
        """Say whether the keeper stays when the last connection closes."""
        self._ask("set", persistent=stay)

    def keep_root(self, keep: bool) -> None:  # noqa: FBT001 - the one thing that it sets
        """Say whether the root folder is left at the end."""
        self._ask("set", keep_root=keep)

    def stop(self, timeout: float | None = None) -> None:
        """End everything and wait until the keeper is gone; `KeeperError` if it does not go.

        `timeout` in seconds; None: longer, the more processes there are to end. Does nothing when it is gone already.
        """
        # Whoever was interrupted in the middle of a request has lost the connection, and cannot ask any more.
        count = len(descendants(self.identity.pid))
        with contextlib.suppress(KeeperError):
            self._ask("stop")
        if timeout is None:
            timeout = _STOPPING + count * _STOPPING_EACH
        self.close()
        deadline = time.monotonic() + timeout
        ours = (self.identity, self.guardian)
        if not all(identity.wait_gone(deadline - time.monotonic()) for identity in ours):
            raise KeeperError(
                f"the keeper of {self.root} (process {self.identity.pid}) has not ended within {timeout:g} s",
                cure="look at keeper.log there for what it waits for",
            )

    def close(self) -> None:
        """Close this connection; if it was the last one, the keeper ends everything."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def __enter__(self) -> Keeper:  # noqa: PYI034 - typing.Self comes with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, op: str, descriptors: Sequence[int] = (), **fields: Any) -> dict[str, Any]:
        with self._lock:
            if self._channel is None:
                raise KeeperError(
                    f"this connection to the keeper of {self.root} was closed", cure="connect again"
                )
            return exchange(self.root, self._channel, {"op": op, **fields}, descriptors, timeout=_PROMPT)


def _forget(reference: weakref.ref[Keeper]) -> None:
    keeper = reference()
    if keeper is not None and keeper._channel is not None:  # noqa: SLF001
        keeper._channel.close()  # noqa: SLF001
        keeper._channel = None  # noqa: SLF001


def _plain(env: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if env is None else dict(env)


def _text(cwd: Path | str | None) -> str | None:
    return None if cwd is None else os.fspath(cwd)
