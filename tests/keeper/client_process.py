"""A client of a keeper to be killed: `client_process.py start|connect|starter-only ROOT TOKEN [MODE...]`.

It spawns misbehaving children of these modes, waits until they are ready, says `ready`, and waits.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.record import create_root

HERE = Path(__file__).parent


def main() -> None:
    how, root, token, *modes = sys.argv[1:]
    folder = Path(root)
    if how == "starter-only":
        print(create_root(folder), flush=True)
    else:
        keeper = Keeper.connect(folder) if how == "connect" else Keeper.start(folder, token=token)
        marks = []
        for number, mode in enumerate(modes):
            mark = folder / f"mark{number}"
            keeper.spawn(
                [sys.executable, str(HERE / "misbehaving.py"), mode, str(mark)], stdout=folder / "out"
            )
            marks.append(mark)
        deadline = time.monotonic() + 20
        while not all(mark.exists() and mark.read_text(encoding="ascii") for mark in marks):
            assert time.monotonic() < deadline, "the children did not get ready"
            threading.Event().wait(0.01)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
