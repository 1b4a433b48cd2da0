"""Names and users of a cluster, told to its processes by nss_wrapper."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.keeper.locking import locked, replace_text

#: Users and groups that Ganeti is told of (Debian's build; lib/runtime.py, `configure --with-user-prefix`).
GANETI_USERS = (
    "root",
    "gnt-confd",
    "gnt-masterd",
    "gnt-metad",
    "gnt-rapi",
    "gnt-luxid",
    "gnt-wconfd",
    "gnt-mond",
)
GANETI_GROUPS = (
    "root",
    "gnt-masterd",
    "gnt-confd",
    "gnt-luxid",
    "gnt-rapi",
    "gnt-admin",
    "gnt-daemons",
    "gnt-metad",
    "gnt-wconfd",
    "gnt-mond",
)

#: nss_wrapper's own limit is 100, and past it every look-up fails.
MAX_HOST_ENTRIES = 65536

_LOCALHOST = ["127.0.0.1", "localhost"]
#: Long ago, so that a stamp which grows by a second with each change never meets the time of day.
_FIRST_STAMP = 1_000_000_000


def passwd_text(home: Path) -> str:
    """Text of a passwd file in which root and all Ganeti users are the current user, living in `home`."""
    uid, gid = os.getuid(), os.getgid()
    lines = [f"{name}:x:{uid}:{gid}::{home}:/bin/bash" for name in GANETI_USERS]
    lines += [
        f"{entry.pw_name}:x:{entry.pw_uid}:{entry.pw_gid}::{entry.pw_dir}:{entry.pw_shell or '/bin/false'}"
        for entry in pwd.getpwall()
        if entry.pw_name not in GANETI_USERS and entry.pw_uid != uid
    ]
    if not any(line.startswith("sshd:") for line in lines):
        # sshd started by root insists on it; an ordinary user's does not ask.
        lines.append("sshd:x:65534:65534::/run/sshd:/bin/false")
    return "\n".join(lines) + "\n"


def group_text() -> str:
    """Text of a group file in which all Ganeti groups are the current group."""
    gid = os.getgid()
    lines = [f"{name}:x:{gid}:" for name in GANETI_GROUPS]
    lines += [
        f"{entry.gr_name}:x:{entry.gr_gid}:"
        for entry in grp.getgrall()
        if entry.gr_name not in GANETI_GROUPS and entry.gr_gid != gid
    ]
    return "\n".join(lines) + "\n"


class Hosts:
    """The hosts file of a cluster, and the list of its nodes; all is in the files, and any process may change them.

    Processes keep the hosts file open; nss_wrapper reads it again when its time of modification, in whole seconds,
    has changed, and opens it again when it has been replaced. So it is replaced, each time one second younger: a
    stamp that only ever grows, whoever writes and whatever is put back.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hosts"
        self.nodes_path = folder / "nodes"
        self._lock = folder / "names.lock"

    def set(self, address: str, *names: str) -> None:
        """Give `address` to `names`, the first of which is canonical."""
        self.set_many({names[0]: (address, *names)})

    def set_many(self, entries: Mapping[str, tuple[str, ...]]) -> None:
        """Give many addresses at once: canonical name to (address, names...)."""
        with self._changed() as table:
            table.entries.update(entries)

    def set_node(self, address: str, *names: str) -> None:
        """Give `address` to a node."""
        self.set_nodes({names[0]: (address, *names)})

    def set_nodes(self, entries: Mapping[str, tuple[str, ...]]) -> None:
        """Give addresses to many nodes at once, as in `set_many`."""
        with self._changed() as table:
            table.entries.update(entries)
            table.nodes.update({name: address for name, (address, *_names) in entries.items()})

    def remove(self, name: str) -> None:
        """Forget a canonical name; nothing happens where it is not known."""
        with self._changed() as table:
            table.nodes.pop(name, None)
            table.entries.pop(name, None)

    def address(self, name: str) -> str | None:
        """Return the address of a name or alias, None where it is not known."""
        return self._read().address(name)

    def nodes(self) -> dict[str, str]:
        """Return the addresses of all nodes by canonical name."""
        return self._read().nodes

    def give(self, name: str, addresses: Iterable[str], *, alias: str = "") -> str | None:
        """Give a name the first of `addresses` that nobody has, and return it; None where each has somebody.

        A name or alias that is known keeps its address. `alias` is left out where it is known.
        """
        with self._changed() as table:
            known = table.address(name)
            if known is not None:
                return known
            taken = {address for address, *_names in table.entries.values()}
            free = next((address for address in addresses if address not in taken), None)
            if free is not None:
                more = [alias] if alias and alias != name and table.address(alias) is None else []
                table.entries[name] = (free, name, *more)
            return free

    def replace_with(self, hosts: str, nodes: str) -> None:
        """Put back texts that the two files had once; running processes see it as they see every change."""
        with locked(self._lock):
            self._write(hosts, nodes)

    @contextlib.contextmanager
    def _changed(self) -> Iterator[_Table]:
        """Give the entries to change, and write them if that was done; nobody else changes them meanwhile."""
        with locked(self._lock):
            table = self._read()
            before = table.texts()
            yield table
            after = table.texts()
            if after != before or not self.path.exists():
                self._write(*after)

    def _read(self) -> _Table:
        return _Table.parse(_text(self.path), _text(self.nodes_path))

    def _write(self, hosts: str, nodes: str) -> None:
        try:
            stamp = int(self.path.stat().st_mtime) + 1
        except FileNotFoundError:
            stamp = _FIRST_STAMP
        replace_text(self.nodes_path, nodes)
        replace_text(self.path, hosts, stamp=stamp)


@attrs.frozen
class _Table:
    """What the two files say: by canonical name, address and all names of everything, and address of the nodes."""

    entries: dict[str, tuple[str, ...]]
    nodes: dict[str, str]

    @classmethod
    def parse(cls, hosts: str, nodes: str) -> _Table:
        words = [line.split() for line in hosts.splitlines()]
        entries = {entry[1]: tuple(entry) for entry in words if entry and entry != _LOCALHOST}
        return cls(entries, {name: address for address, name in map(str.split, nodes.splitlines())})

    def texts(self) -> tuple[str, str]:
        lines = [" ".join(entry) for entry in (_LOCALHOST, *self.entries.values())]
        nodes = "".join(f"{address} {name}\n" for name, address in self.nodes.items())
        return "\n".join(lines) + "\n", nodes

    def address(self, name: str) -> str | None:
        for address, *names in self.entries.values():
            if name in names:
                return address
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
