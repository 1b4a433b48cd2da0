"""A way out of a cluster's network: `python -m ...porter NETWORK ADDRESS PROGRAM`, started by its site.

It listens at ADDRESS, which stands for what is outside of the cluster, in the network whose switch hands out sockets at
NETWORK, and runs PROGRAM for whoever connects and sends a line of arguments. Back come a line with its status and the
length of its output, its output, and what it said on standard error. Imports the standard library only.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time

from pytest_ganeti_vcluster.engines.namespaces import kernel
from pytest_ganeti_vcluster.engines.namespaces.outside import take_socket

#: Where it listens.
PORT = 6230

#: Seconds that the network may take to come up, and between two looks.
_PATIENCE = 60.0
_PAUSE = 0.01

#: What asks it, on a node; it may have to wait for it.
WAY_OUT = "/etc/vcluster-oob"
_ASKING = """\
#!/bin/bash
# Ganeti's oob_program for virtual nodes, COMMAND NODE: asks who stands outside of the cluster.
for try in 1 2 3 4 5 6 7 8 9; do
  exec 3<>/dev/tcp/{address}/{port} && break
  sleep 0.5
done 2>/dev/null
[ -e /proc/self/fd/3 ] || {{ echo "{address} does not answer" >&2; exit 1; }}
printf '%s\\n' "$*" >&3
read -r status length <&3 || exit 1
head -c "$length" <&3
cat <&3 >&2
exit "$status"
"""


def asking(address: str) -> str:
    """Return the text of `WAY_OUT`, which has PROGRAM run with its own arguments."""
    return _ASKING.format(address=address, port=PORT)


async def _serve(network: str, address: str, program: str) -> None:
    listener = await _socket_of(network)
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
    await server.serve_forever()


async def _socket_of(network: str) -> socket.socket:
    """Return a socket of the network, which may yet have to come up."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return take_socket(network)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE)


if __name__ == "__main__":
    kernel.die_with_parent(signal.SIGKILL)
    asyncio.run(_serve(*sys.argv[1:]))
