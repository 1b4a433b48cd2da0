"""The keeper itself: one loop that starts programs, reaps what ends, and ends all when nobody needs it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.keeper.children import StartedChild
from pytest_ganeti_vcluster.keeper.ending import PAUSE, Ending, bound_of
from pytest_ganeti_vcluster.keeper.folder import remove_root
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.processes import descendants, is_below
from pytest_ganeti_vcluster.keeper.protocol import Channel, ProtocolError
from pytest_ganeti_vcluster.keeper.record import KeeperRecord
from pytest_ganeti_vcluster.keeper.requests import Refused, Requests


@attrs.define(eq=False)
class Server:
    """A keeper at work; `serve()` returns when nobody needs it any more, then `finish()` ends everything."""

    root: Path
    record: KeeperRecord
    listener: socket.socket
    connections: set[Channel] = attrs.field(factory=set)
    children: dict[ProcessIdentity, StartedChild] = attrs.field(factory=dict)
    claims: dict[tuple[str, int], socket.socket] = attrs.field(factory=dict)
    waits: list[Wait] = attrs.field(factory=list)
    stopping: bool = False
    _inner: set[Channel] = attrs.field(factory=set)
    _running: dict[int, StartedChild] = attrs.field(factory=dict)
    _selector: selectors.BaseSelector = attrs.field(factory=selectors.DefaultSelector)
    _wakeup: tuple[socket.socket, socket.socket] = attrs.field(factory=socket.socketpair)
    _requests: Requests = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._requests = Requests(self)
        self.listener.setblocking(False)
        self._selector.register(self.listener, selectors.EVENT_READ)
        for end in self._wakeup:
            end.setblocking(False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        # Handlers of our own, also so that no child inherits an "ignore" of ours.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop_signal)

    def _on_stop_signal(self, number: int, _frame: object) -> None:
        log(f"{signal.Signals(number).name}: ending")
        self.stopping = True

    def add(self, channel: Channel) -> None:
        """Take a connection in."""
        self.connections.add(channel)
        self._selector.register(channel, selectors.EVENT_READ)

    def own(self, child: StartedChild) -> None:
        """Take a program in that was just started; it has not been reaped."""
        self.children[child.identity] = child
        self._running[child.identity.pid] = child

    def serve(self) -> None:
        """Serve until told to stop, or until the last connection has closed and we are not persistent."""
        while not self.stopping:
            if not self._is_used:
                # Somebody may have connected while the last one left.
                self._accept()
                if not self._is_used:
                    return
            for key, events in self._selector.select(self._pause()):
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj is self._wakeup[0]:
                    drain(self._wakeup[0])
                elif key.fileobj in self.connections and events & selectors.EVENT_READ:
                    self._hear(key.fileobj)
                elif key.fileobj in self.connections:
                    self._flush(key.fileobj)
            self.reap()
            self._tend()

    @property
    def _is_used(self) -> bool:
        """Whether anybody wants us to stay: what runs below us does not count."""
        return self.record.persistent or bool(self.connections - self._inner)

    def _pause(self) -> float | None:
        """How long nothing needs to be done unless something happens."""
        now = time.monotonic()
        moments = [wait.deadline for wait in self.waits if wait.deadline is not None]
        for child in self.children.values():
            if child.ending is not None:
                moments.append(now + PAUSE)
            elif child.deadline is not None and child.ended is None:
                moments.append(child.deadline)
        return max(0.0, min(moments) - now) if moments else None

    def _accept(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:
            # Nobody there any more, or no descriptor left for it: it is asked again.
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", credentials)
        if uid not in {os.geteuid(), 0}:
            log(f"refused a connection of uid {uid}")
            connection.close()
            return
        channel = Channel(connection)
        if is_below(os.getpid(), pid):
            self._inner.add(channel)
        self.add(channel)

    def _hear(self, channel: Channel) -> None:
        try:
            is_open = channel.read()
            while is_open and (message := channel.next_message()) is not None:
                self._answer(channel, message)
        except (OSError, ProtocolError) as error:
            if not isinstance(error, ConnectionError):
                log(f"a connection is closed: {error}")
            is_open = False
        if is_open:
            self._flush(channel)
        else:
            self._drop(channel)

    def _answer(self, channel: Channel, message: dict[str, Any]) -> None:
        descriptors = channel.take_descriptors()
        try:
            answer = self._requests.handle(channel, message, descriptors)
        except Refused as error:
            answer = {"ok": False, "error": error.message, "errno": error.errno}
        except (KeyError, TypeError, ValueError) as error:
            answer = {"ok": False, "error": f"not a request: {error!r}", "errno": 0}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if answer is not None:
            channel.queue(answer)

    def _drop(self, channel: Channel) -> None:
        """Forget a connection; a command that it waited for has nobody left to want it."""
        self._selector.unregister(channel)
        self.connections.discard(channel)
        self._inner.discard(channel)
        channel.close()
        self.waits = [wait for wait in self.waits if wait.channel is not channel]
        for child in self.children.values():
            if child.owner is channel:
                child.start_ending()

    def reap(self) -> None:
        """Take note of every child that has ended, adopted ones too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._running.pop(pid, None)
            if child is not None:
                child.returncode = os.waitstatus_to_exitcode(status)
                child.ended = time.monotonic()

    def _tend(self) -> None:
        """Whatever time or an ended child brings about: answers, time-outs, the next stage of an ending."""
        now = time.monotonic()
        for identity, child in list(self.children.items()):
            if (
                child.deadline is not None
                and child.ended is None
                and child.ending is None
                and now >= child.deadline
            ):
                child.timed_out = True
                child.start_ending()
            if child.ending is not None and not child.ending.done:
                child.ending.step()
            if child.owner is not None and child.is_settled:
                del self.children[identity]
                self._tell(child.owner, child.outcome())
        for wait in list(self.waits):
            if wait.child.ended is not None or (wait.deadline is not None and now >= wait.deadline):
                self.waits.remove(wait)
                self._tell(wait.channel, {"ok": True, "returncode": wait.child.returncode})

    def _tell(self, channel: Channel, answer: dict[str, Any]) -> None:
        if channel not in self.connections:
            return
        channel.queue(answer)
        self._flush(channel)

    def _flush(self, channel: Channel) -> None:
        """Send what the client takes, and the rest when it takes more."""
        events = selectors.EVENT_READ
        # A broken connection can be read from: the loop notices there, and drops it.
        with contextlib.suppress(OSError):
            if not channel.flush():
                events |= selectors.EVENT_WRITE
        self._selector.modify(channel, events)

    def finish(self) -> bool:
        """End everything and remove the root unless it is to be kept; whether nothing is left."""
        Path(self.record.socket).unlink(missing_ok=True)
        self.listener.close()
        for channel in self.connections:
            with contextlib.suppress(OSError):
                channel.flush()
            channel.close()
        ending = Ending(find=lambda: descendants(os.getpid()), groups=True)
        bound = bound_of(len(descendants(os.getpid())))
        deadline = ending.started + bound
        wakeup = self._wakeup[0]
        with selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            self.reap()
            while not ending.step() and time.monotonic() < deadline:
                selector.select(PAUSE)
                drain(wakeup)
                self.reap()
        if not ending.done:
            names = ", ".join(f"{stat.name} ({stat.pid}, state {stat.state})" for stat in ending.left)
            log(f"could not end within {bound:.1f} s: {names}; the root is left to whoever reaps")
            return False
        if self.record.keep_root:
            self.record.as_ended().write(self.root)
            return True
        return remove_root(self.root)


@attrs.frozen(eq=False)
class Wait:
    """Somebody who waits for a child's end."""

    channel: Channel
    child: StartedChild
    deadline: float | None


def drain(wakeup: socket.socket) -> None:
    """Empty the wake-up socket."""
    with contextlib.suppress(BlockingIOError):
        while wakeup.recv(4096):
            pass


def log(text: str) -> None:
    """Write a line to `keeper.log` (our stderr)."""
    # The disk may be full: that is no reason not to go on ending what has to be ended.
    with contextlib.suppress(OSError):
        print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=sys.stderr, flush=True)  # noqa: T201 - it is the log
