"""A way out of a cluster's network: `python -m ...porter NETWORK RECORD ADDRESS PROGRAM`, started by its site.

It listens at ADDRESS, which stands for what is outside of the cluster, in the network whose switch hands out sockets at
NETWORK, tells in RECORD (JSON) who it is and what PROGRAM is, and runs PROGRAM for whoever connects and sends a line of
arguments. Back come a line with its status and the length of its output, its output, and what it said on standard
error. Imports the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys

from pytest_ganeti_vcluster.engines.namespaces import kernel
from pytest_ganeti_vcluster.engines.namespaces.outside import take_socket

#: Where it listens.
PORT = 6230

#: What asks it, on a node.
WAY_OUT = "/etc/vcluster-oob"
_ASKING = """\
#!/bin/bash
# Ganeti's oob_program for virtual nodes, COMMAND NODE: asks who stands outside of the cluster.
exec 3<>/dev/tcp/{address}/{port} || exit 1
printf '%s\\n' "$*" >&3
read -r status length <&3 || exit 1
head -c "$length" <&3
cat <&3 >&2
exit "$status"
"""


def asking(address: str) -> str:
    """Return the text of `WAY_OUT`, which has PROGRAM run with its own arguments."""
    return _ASKING.format(address=address, port=PORT)


async def _serve(network: str, record: str, address: str, program: str) -> None:
    listener = take_socket(network)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, PORT))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = (await reader.readline()).decode(errors="replace").split()
        child = await asyncio.create_subprocess_exec(
            program,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        writer.write(f"{child.returncode} {len(out)}\n".encode() + out + err)
        try:
            await writer.drain()
        except OSError:
            # It may have been switched off by what it asked for.
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(answer, sock=listener)
    _write_whole(record, json.dumps({"process": [os.getpid(), _started()], "program": program}))
    await server.serve_forever()


def _started() -> int:
    """Return when we were started, as the keeper knows processes (proc(5), /proc/PID/stat, field 22)."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as stream:  # noqa: PTH123
        return int(stream.read().rpartition(")")[2].split()[19])


def _write_whole(path: str, text: str) -> None:
    with open(path + ".new", "w", encoding="ascii") as stream:  # noqa: PTH123
        stream.write(text)
    os.replace(path + ".new", path)  # noqa: PTH105


if __name__ == "__main__":
    kernel.die_with_parent(signal.SIGKILL)
    asyncio.run(_serve(*sys.argv[1:]))
