"""Children that behave as badly as daemons do: `misbehaving.py MODE [ARGUMENT]`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def ready() -> None:
    """Say that the misbehaviour is in place, by making the file named last."""
    Path(sys.argv[-1]).write_text(str(os.getpid()), encoding="ascii")


def sleep() -> None:
    while True:
        time.sleep(1000)


def plain() -> None:
    ready()
    sleep()


def ignore_term() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    ready()
    sleep()


def daemon() -> None:
    """Twice forked, in a session of its own, with nothing open but standard output; deaf to SIGTERM."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.closerange(3, 1024)
    ignore_term()


def respawn() -> None:
    """Each process has a successor and goes, in a new session each time; for two minutes, as tests may fail."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    until = time.monotonic() + 120
    ready()
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.005)


def respawn_on_term() -> None:
    """Every SIGTERM brings a new process."""

    def again(*_: object) -> None:
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, again)
            sleep()

    signal.signal(signal.SIGTERM, again)
    ready()
    sleep()


def stopped() -> None:
    ready()
    os.kill(os.getpid(), signal.SIGSTOP)
    sleep()


def flood() -> None:
    """So many bytes on both outputs."""
    amount = int(sys.argv[2])
    sys.stdout.buffer.write(b"o" * amount)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(b"e" * amount)
    sys.stderr.buffer.flush()


if __name__ == "__main__":
    {name.replace("_", "-"): what for name, what in list(globals().items()) if callable(what)}[sys.argv[1]]()
