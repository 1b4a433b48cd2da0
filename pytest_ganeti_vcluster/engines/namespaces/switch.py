"""The network of one cluster: `python -m ...switch SOCKET CONTROL HOSTS ADDRESS/LENGTH`, started by its site.

It is root of the cluster's user namespace, and has the network namespace in which the nodes are joined, by a bridge, or
by the switch itself while there are rules for what passes: it is told what is to be at CONTROL (see `control`).

There it also stands for all machines outside the cluster: it is the nodes' name server, for the names in the file
HOSTS; and whoever connects to SOCKET gets a fresh network socket of that namespace (SCM_RIGHTS), "t" for TCP or "u"
for UDP, and does with it what it likes, without being in any namespace itself. It ends with the keeper. Imports the
standard library only.
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
from pytest_ganeti_vcluster.engines.namespaces.control import Control
from pytest_ganeti_vcluster.engines.namespaces.forwarding import Forwarder
from pytest_ganeti_vcluster.engines.namespaces.name_server import NameServer
from pytest_ganeti_vcluster.engines.network_rules import OUTSIDE

#: What joins the nodes.
BRIDGE = "nodes"

#: What is outside the cluster is joined to them by a pair of interfaces, as they are: our end has our address, and ...
_OUTSIDE, _OUTSIDE_PORT = "outside", "outside-port"

#: ... a hardware address that stays: who knew another would find nobody there, for many seconds.
_HARDWARE_ADDRESS = "02:00:00:00:00:fe"

KINDS = {b"t": socket.SOCK_STREAM, b"u": socket.SOCK_DGRAM}

_NAMES_PORT = 53

#: Seconds that somebody who has connected may take to say what for.
_PATIENCE = 2.0


def main(path: str, control: str, hosts: str, address: str) -> None:
    """Make the network, and serve until ended."""
    kernel.die_with_parent(signal.SIGKILL)
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(kernel.NEWUSER)
    kernel.become_root(uid, gid)
    kernel.unshare(kernel.NEWNET)
    kernel.configure_network(
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        *port_commands(BRIDGE),
        f"link add {_OUTSIDE} address {_HARDWARE_ADDRESS} type veth peer name {_OUTSIDE_PORT}",
        *port_commands(_OUTSIDE_PORT),
        f"address add {address} dev {_OUTSIDE}",
        f"link set {_OUTSIDE} up",
    )
    questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    questions.bind((address.partition("/")[0], _NAMES_PORT))
    names = NameServer(hosts)
    with selectors.DefaultSelector() as selector:
        forwarder = Forwarder(BRIDGE, selector)
        forwarder.plug(_OUTSIDE_PORT, OUTSIDE)
        Control(control, forwarder, selector)
        # Who waits for us waits for this one.
        wishes = socket.socket(socket.AF_UNIX)
        wishes.bind(path)
        wishes.listen(128)
        selector.register(questions, selectors.EVENT_READ, lambda: _answer(questions, names))
        selector.register(wishes, selectors.EVENT_READ, lambda: _hand_out(wishes))
        while True:
            for key, _events in selector.select(forwarder.timeout):
                key.data()
            forwarder.release()


def port_commands(link: str) -> tuple[str, ...]:
    """Return what makes an interface one that only passes frames on, for `kernel.configure_network`."""
    # The kernel would answer there for the outside's address, with a hardware address that is reached only for as long
    # as its bridge joins the nodes.
    return (f"link set {link} arp off up",)


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
