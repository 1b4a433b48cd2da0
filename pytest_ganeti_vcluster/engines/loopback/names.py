"""Names and users of a cluster, told to its processes by nss_wrapper."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

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
    """The hosts file of a cluster, and the list of its nodes.

    Processes keep the hosts file open; nss_wrapper reads it again when its time of modification, in whole seconds,
    has changed, and opens it again when it has been replaced. So it is replaced, each time one second younger.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hosts"
        self.nodes_path = folder / "nodes"
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._nodes: dict[str, str] = {}
        self._stamp = 1_000_000_000

    def set(self, address: str, *names: str) -> None:
        """Give `address` to `names`, the first of which is canonical."""
        self._addresses[names[0]] = (address, *names)
        self._write()

    def set_many(self, entries: dict[str, tuple[str, ...]]) -> None:
        """Give many addresses at once: canonical name to (address, names...)."""
        self._addresses.update(entries)
        self._write()

    def set_node(self, address: str, *names: str) -> None:
        """Give `address` to a node."""
        self._nodes[names[0]] = address
        self.set(address, *names)

    def remove(self, name: str) -> None:
        """Forget a canonical name; nothing happens where it is not known."""
        self._nodes.pop(name, None)
        if self._addresses.pop(name, None) is not None:
            self._write()

    def address(self, name: str) -> str | None:
        """Return the address of a name or alias, None where it is not known."""
        for address, *names in self._addresses.values():
            if name in names:
                return address
        return None

    def _write(self) -> None:
        lines = ["127.0.0.1 localhost"]
        lines += [" ".join(entry) for entry in self._addresses.values()]
        self._stamp += 1
        _replace(self.nodes_path, "".join(f"{address} {name}\n" for name, address in self._nodes.items()))
        _replace(self.path, "\n".join(lines) + "\n", self._stamp)


def _replace(path: Path, text: str, stamp: int | None = None) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    if stamp is not None:
        os.utime(new, (stamp, stamp))
    new.replace(path)
