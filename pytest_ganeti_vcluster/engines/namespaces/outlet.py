"""A way into a cluster's network: `python -m ...outlet NETWORK RECORD ADDRESS PORT`, started by its site.

It listens on a port of 127.0.0.1, tells which, and who it is, in RECORD (JSON), and passes on what connects to
ADDRESS:PORT in the network whose switch hands out sockets at NETWORK. Imports the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from pytest_ganeti_vcluster.engines.namespaces import kernel
from pytest_ganeti_vcluster.engines.namespaces.outside import take_socket

_CHUNK = 65536


class Outlet:
    """Passes connections on to `address` in the network that is reached at `network`."""

    def __init__(self, network: str, address: str, port: int) -> None:
        self._network = network
        self._place = (address, port)

    async def serve(self, record: str) -> None:
        """Serve until ended."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        _write_whole(record, json.dumps({"port": port, "pid": os.getpid(), "started": _started()}))
        await server.serve_forever()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner = take_socket(self._network)
            inner.setblocking(False)
            await asyncio.get_running_loop().sock_connect(inner, self._place)
        except OSError:
            # As of a machine where nobody listens, or that is not there any more.
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(sock=inner)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))
        for one in (back, writer):
            one.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and its end."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


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
    _network, _record, _address, _port = sys.argv[1:]
    asyncio.run(Outlet(_network, _address, int(_port)).serve(_record))
