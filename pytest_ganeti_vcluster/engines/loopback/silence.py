"""A node that is frozen, as who logs in sees it: connections are accepted by the kernel, and nobody answers.

All nodes have one sshd, which cannot be stopped for one of them. So this program listens where the node's would, and
does nothing. It is run on its own, `silence.py ADDRESS PORT RECORD`, writes its process id to RECORD when it listens,
and imports the standard library only.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

#: Seconds between two tries to listen where sshd still does.
_AGAIN = 0.02


def main(address: str, port: int, record: str) -> None:
    """Listen, for ever."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                listener.bind((address, port))
                listener.listen(128)
                break
            except OSError:
                time.sleep(_AGAIN)
        with open(record + ".new", "w", encoding="ascii") as stream:  # noqa: PTH123  it is to start fast
            stream.write(f"{os.getpid()}\n")
        os.rename(record + ".new", record)  # noqa: PTH104
        while True:
            signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
