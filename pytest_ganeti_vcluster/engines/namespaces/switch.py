"""The network of one cluster: `python -m ...switch SOCKET HOSTS ADDRESS/LENGTH`, started by its site.

It is root of the cluster's user namespace, and has the network namespace in which a bridge joins the nodes. There it
stands for all machines outside the cluster: it is the nodes' name server, for the names in the file HOSTS; and whoever
connects to SOCKET gets a fresh network socket of that namespace (SCM_RIGHTS), "t" for TCP or "u" for UDP, and does with
it what it likes, without being in any namespace itself. It ends with the keeper. Imports the standard library only.
"""

from __future__ import annotations

import array
import contextlib
import os
import selectors
import signal
import socket
import sys

from pytest_ganeti_vcluster.engines.namespaces import kernel
from pytest_ganeti_vcluster.engines.namespaces.name_server import NameServer

#: The interface that the nodes are joined by, and that has our own address.
BRIDGE = "nodes"

#: Its hardware address. A bridge that was given none has that of one of its ports, another with every node that comes
#: or goes; and who knew the old one finds nobody there, for many seconds.
_HARDWARE_ADDRESS = "02:00:00:00:00:fe"

KINDS = {b"t": socket.SOCK_STREAM, b"u": socket.SOCK_DGRAM}

_NAMES_PORT = 53

#: Seconds that somebody who has connected may take to say what for.
_PATIENCE = 2.0


def main(path: str, hosts: str, address: str) -> None:
    """Make the network, and serve until ended."""
    kernel.die_with_parent(signal.SIGKILL)
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(kernel.NEWUSER)
    kernel.become_root(uid, gid)
    kernel.unshare(kernel.NEWNET)
    kernel.configure_network(
        "link set lo up",
        f"link add {BRIDGE} address {_HARDWARE_ADDRESS} type bridge",
        f"address add {address} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    )
    questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    questions.bind((address.partition("/")[0], _NAMES_PORT))
    names = NameServer(hosts)
    wishes = socket.socket(socket.AF_UNIX)
    wishes.bind(path)
    wishes.listen(128)
    with selectors.DefaultSelector() as selector:
        selector.register(questions, selectors.EVENT_READ)
        selector.register(wishes, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is wishes:
                    _hand_out(wishes)
                else:
                    _answer(questions, names)


def _hand_out(wishes: socket.socket) -> None:
    """Give a socket to somebody; who has gone, or wants nothing that we know, gets nothing."""
    with contextlib.suppress(OSError, KeyError):
        connection, _peer = wishes.accept()
        with connection:
            connection.settimeout(_PATIENCE)
            kind = KINDS[connection.recv(1)]
            with socket.socket(socket.AF_INET, kind) as given:
                rights = array.array("i", [given.fileno()])
                connection.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _answer(questions: socket.socket, names: NameServer) -> None:
    with contextlib.suppress(OSError, ValueError):
        message, asker = questions.recvfrom(4096)
        questions.sendto(names.answer(message), asker)


if __name__ == "__main__":
    main(*sys.argv[1:])
