"""Start a keeper: `python -m pytest_ganeti_vcluster.keeper ROOT DESCRIPTOR`, by `Keeper.start` only.

DESCRIPTOR is our end of a socket pair whose other end the starter holds: the first connection, there before
we are. If the starter dies this instant, we see it close, and go.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import sys
import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.keeper.guardian import GAVE_UP, guard_keeper
from pytest_ganeti_vcluster.keeper.hostguard import become_subreaper, guard_host, limit_descriptors
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.protocol import Channel
from pytest_ganeti_vcluster.keeper.record import KEEPER_SOCKET, TOKEN_VARIABLE, KeeperRecord, World
from pytest_ganeti_vcluster.keeper.server import Server, log


def _forget_ignored_signals() -> None:
    """Undo what a shell's `&` or `nohup` did to us: what is ignored or blocked here would be so in all daemons."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main(argv: list[str]) -> int:
    """Be the keeper of a root; the exit status."""
    if os.fork() != 0:
        # Nobody's child: whoever started us need not reap us, and may go without our noticing more than a
        # closed connection.
        os._exit(0)
    os.setsid()
    _forget_ignored_signals()
    os.umask(0o077)
    os.chdir("/")
    root = Path(argv[0])
    first = Channel(socket.socket(fileno=int(argv[1])))
    # In the tree's environment ourselves, so that what reaps by token finds us as well, but only if we are
    # told it.
    token = os.environ[TOKEN_VARIABLE]
    try:
        _lock(root)
        become_subreaper()
        guardian = ProcessIdentity.own()
        # The collector writes to every object that it looks at. It leaves alone what both have: that stays shared.
        gc.disable()
        gc.freeze()
        if keeper := os.fork():
            first.close()
            return guard_keeper(keeper, root)
        gc.enable()
        # A group of its own, so that its group is not ended with it.
        os.setsid()
        server = _prepare(root, token, first, guardian)
    except OSError as error:
        # The log may be on the disk that is full.
        log(f"cannot begin: {error}")
        first.send({"ok": False, "error": f"cannot begin: {error}", "errno": error.errno or 0})
        return GAVE_UP
    server.serve()
    return 0 if server.finish() else GAVE_UP


def _lock(root: Path) -> None:
    """Lock the root folder until both keeper and guardian are gone, whatever becomes of them."""
    # Held until we are gone, whatever becomes of us: whoever reaps must have it first. It also tells across
    # pid namespaces that we live.
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _prepare(root: Path, token: str, first: Channel, guardian: ProcessIdentity) -> Server:
    become_subreaper()
    limit_descriptors()
    guard = guard_host(root)
    for refusal in guard.refused:
        log(f"host guard: {refusal}")

    path = root / KEEPER_SOCKET
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.fspath(path))
    path.chmod(0o600)
    listener.listen(128)
    identity = ProcessIdentity.own()
    record = KeeperRecord(
        identity=identity,
        guardian=guardian,
        world=World.own(),
        socket=os.fspath(path),
        token=token,
        created=time.time(),
    )
    record.write(root)
    server = Server(root, record, listener)
    server.add(first)
    hello = {"identity": identity.to_json(), "guardian": guardian.to_json(), "guard": attrs.asdict(guard)}
    first.queue({"ok": True, **hello})
    first.flush()
    return server


if __name__ == "__main__":
    # Past every `finally` and exit handler: nothing of ours is to run after the end.
    os._exit(main(sys.argv[1:]))
