"""What stands in the root folder of a node that is a machine of its own, before any program comes."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from pytest_ganeti_vcluster.engines.base import BOOT_ID, SHARED_PLACE, SHARED_STORAGE, NodeSite
from pytest_ganeti_vcluster.engines.loopback.names import GANETI_GROUPS, GANETI_USERS
from pytest_ganeti_vcluster.engines.namespaces.machine import FOLDERS, OUTSIDE_ETC
from pytest_ganeti_vcluster.engines.namespaces.porter import WAY_OUT, asking

#: Of /etc, what the node does not share with the machine.
_OWN = frozenset(
    {
        "default",
        "ganeti",
        "group",
        "gshadow",
        "hostname",
        "hosts",
        "init.d",
        "nsswitch.conf",
        "passwd",
        "resolv.conf",
        "shadow",
        "ssh",
    }
)

_SSHD_CONFIG = """\
Port 22
UsePAM no
UseDNS no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile /run/sshd.pid
HostKey /etc/ssh/ssh_host_rsa_key
Subsystem sftp {sftp_server}
{helpers}
"""

# Ganeti asks for it by the name that it was built with.
_SSH_SERVICE = """\
#!/bin/sh
case "$1" in
  start|restart|reload) kill -HUP "$(cat /run/sshd.pid)" ;;
esac
"""

_NOBODY = 65534


def furnish(
    node: NodeSite,
    *,
    name_server: str,
    domain: str,
    host_key: Path,
    admin_key: Path,
    sftp_server: Path,
    sshd_helpers: Sequence[str],
) -> None:
    """Make the root folder of `node`, which must not exist; `name_server` stands for all that is outside."""
    root = node.root
    root.mkdir(mode=0o755)
    for inner, _place in FOLDERS:
        (root / inner).mkdir(parents=True)
    # For what they share to be seen there.
    (root / SHARED_PLACE.lstrip("/")).mkdir(parents=True)
    (root.parent / SHARED_STORAGE).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / BOOT_ID).write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    _link_etc(root / "etc")
    etc = {
        "hostname": f"{node.name}\n",
        "hosts": f"127.0.0.1\tlocalhost\n{node.ip}\t{node.name} {node.name.partition('.')[0]}\n",
        "passwd": _passwd(),
        "group": "".join(f"{name}:x:0:\n" for name in GANETI_GROUPS) + f"nogroup:x:{_NOBODY}:\n",
        # With no account of it, sshd takes root's for locked.
        "shadow": "root:*:19000:0:99999:7:::\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "resolv.conf": f"nameserver {name_server}\nsearch {domain}\noptions timeout:1 attempts:2\n",
        "ssh/sshd_config": _SSHD_CONFIG.format(sftp_server=sftp_server, helpers="\n".join(sshd_helpers)),
        "ssh/ssh_config": "",
        "init.d/ssh": _SSH_SERVICE,
        WAY_OUT.removeprefix("/etc/"): asking(name_server),
    }
    for name, text in etc.items():
        path = root / "etc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "etc/shadow").chmod(0o600)
    for script in ("etc/init.d/ssh", WAY_OUT.lstrip("/")):
        (root / script).chmod(0o755)
    _set_up_keys(root, host_key, admin_key)


def links_out() -> dict[str, str]:
    """Return, by name, where those entries of a node's /etc lead that are the machine's."""
    with os.scandir("/etc") as machine:
        return {
            # What leads elsewhere does so from there.
            entry.name: os.readlink(entry.path) if entry.is_symlink() else f"{OUTSIDE_ETC}/{entry.name}"  # noqa: PTH115
            for entry in machine
            if entry.name not in _OWN
        }


def _link_etc(etc: Path) -> None:
    """Have the node's /etc be the machine's, but for what is its own."""
    for name, target in links_out().items():
        (etc / name).symlink_to(target)
    (etc / "default").mkdir()


def _passwd() -> str:
    lines = [
        f"{name}:x:0:0::{'/root' if name == 'root' else '/var/lib/ganeti'}:/bin/bash" for name in GANETI_USERS
    ]
    # sshd becomes its user for a moment, and there is but one that it can become.
    lines += ["sshd:x:0:0::/run/sshd:/bin/false", f"nobody:x:{_NOBODY}:{_NOBODY}::/:/bin/false"]
    return "\n".join(lines) + "\n"


def _set_up_keys(root: Path, host_key: Path, admin_key: Path) -> None:
    for suffix in ("", ".pub"):
        shutil.copy(f"{host_key}{suffix}", root / "etc/ssh" / f"ssh_host_rsa_key{suffix}")
    home = root / "root"
    home.chmod(0o700)
    (home / ".ssh").mkdir(mode=0o700)
    for suffix in ("", ".pub"):
        shutil.copy(f"{admin_key}{suffix}", home / ".ssh" / f"id_ed25519{suffix}")
    shutil.copy(f"{admin_key}.pub", home / ".ssh/authorized_keys")
    (home / ".ssh/authorized_keys").chmod(0o600)
