"""The root folder of a virtual node: what stands in it before Ganeti comes."""

from __future__ import annotations

import shlex
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from pytest_ganeti_vcluster.engines.base import BOOT_ID, FROZEN, SHARED_PLACE, SHARED_STORAGE, NodeSite
from pytest_ganeti_vcluster.engines.hardware import write_bridges, write_capacity
from pytest_ganeti_vcluster.ganeti.daemons import METAD_PORT

#: Longest path of a Unix socket below a node root (lib/pathutils.py: SOCKET_DIR).
LONGEST_SOCKET = "var/run/ganeti/socket/ganeti-wconfd"

_FOLDERS = (
    "etc/default",
    "etc/ganeti/hooks",
    "etc/ganeti/scripts",
    "etc/ganeti/restricted-commands",
    "etc/ssh",
    "var/backups",
    "var/lock",
    # Where Debian's Ganeti exports to, and one that was built as its INSTALL says.
    "var/lib/ganeti/export",
    "srv/ganeti/export",
    "var/lib/ganeti/rapi",
    "var/log/ganeti",
    "srv/ganeti/os",
    "srv/ganeti/extstorage",
    "srv/ganeti/iallocators",
    "srv/ganeti/file-storage",
    "root/.ssh",
    "tmp",
)

#: What a machine forgets when it is switched off.
VOLATILE = ("var/run", "var/lock")

#: The instances that run (lib/hypervisor/hv_fake.py).
RUNNING_INSTANCES = "var/run/ganeti/fake-hypervisor"

#: What ssh goes by on a node where it is to read no configuration: the port that is 22 on real nodes.
DEFAULT_SSH_CONFIG = "etc/ssh/ssh_config"

# The same variables as Debian's /etc/default/ganeti knows.
_DEFAULTS = ("noded", "confd", "rapi", "mond", "metad")

#: Bridges that a node says it has (inside/adaptations/bridges.py); the first is where NICs go by default.
BRIDGES = ("br0", "br1")

#: The OS definition that every node has, and the scripts of one (a wheel does not keep their executable bit).
DD_OS = Path(__file__).parent / "data" / "os" / "dd"
OS_SCRIPTS = ("create", "import", "export", "rename", "verify")

#: Where file storage may be.
FILE_STORAGE_PATHS = "/srv/ganeti/file-storage\n/srv/ganeti/shared-file-storage\n"

_COMMAND = """\
#!/bin/bash
# Run a command on the virtual node {name}.
{exports}
exec "$@"
"""

# sshd runs this for every login; what the caller asked for stands in SSH_ORIGINAL_COMMAND. A large cluster sees
# thousands of logins: it is for the smallest shell that there is, and runs no other script.
_SSH_COMMAND = """\
#!/bin/sh
[ ! -e {off} ] || exit 255
while [ -e {frozen} ]; do kill -STOP $$; done
cd {home}
{exports}
if [ -n "$SSH_ORIGINAL_COMMAND" ]; then
  exec /bin/bash -c "$SSH_ORIGINAL_COMMAND"
fi
exec /bin/bash
"""

# The fastest key exchange, for the reason that sshd has none of the slow ones (engines/loopback/sshd.py).
_SSH_CONFIG = """\
Host *
  Port {port}
  KexAlgorithms ^ecdh-sha2-nistp256
"""


def daemon_arguments(daemon: str, ip: str) -> list[str]:
    """Return the arguments of one of a node's daemons, by its short name: they bind it to the node's address."""
    arguments = {
        "noded": ["--no-mlock", "-b", ip],
        "confd": ["-b", ip],
        "rapi": ["-b", ip, "--require-authentication"],
        "mond": ["-b", ip],
        "metad": ["-b", ip, "-p", str(METAD_PORT)],
    }
    return arguments.get(daemon, [])


def make_node_root(
    node: NodeSite,
    *,
    environment: Mapping[str, str],
    passwd: str,
    host_key: Path,
    admin_key: Path,
    ssh_port: int,
    capacity: Mapping[str, int],
) -> None:
    """Make the root folder of `node`, which must not exist.

    `environment` are the variables of a process on the node, `passwd` the text of its passwd file, `capacity` as in
    `write_capacity`.
    """
    root = node.root
    root.mkdir(mode=0o700)
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text(passwd, encoding="utf-8")
    defaults = (f"{name.upper()}_ARGS='{shlex.join(daemon_arguments(name, node.ip))}'" for name in _DEFAULTS)
    (root / "etc/default/ganeti").write_text("\n".join(defaults) + "\n", encoding="utf-8")
    (root / "etc/ganeti/file-storage-paths").write_text(FILE_STORAGE_PATHS, encoding="utf-8")
    (root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n", encoding="utf-8")
    (root / "etc/vcluster-addresses").write_text("\n".join(node.addresses) + "\n", encoding="utf-8")
    make_volatile(root)
    (root / BOOT_ID).write_text(f"{uuid.uuid4()}\n", encoding="ascii")
    write_bridges(root, BRIDGES)
    write_capacity(root, capacity)
    _set_up_ssh(root, host_key, admin_key, ssh_port)
    # Ganeti refuses all commands where others may write (lib/backend.py: _RCMD_MAX_MODE), which some umasks let them.
    (root / "etc/ganeti/restricted-commands").chmod(0o755)
    shutil.copytree(DD_OS, root / "srv/ganeti/os/dd")
    for script in OS_SCRIPTS:
        (root / "srv/ganeti/os/dd" / script).chmod(0o755)
    shared = root.parent / SHARED_STORAGE
    shared.mkdir(parents=True, exist_ok=True)
    # Ganeti's processes are told where it is (inside/place.py); this is for people and tests.
    (root / SHARED_PLACE.lstrip("/")).symlink_to(shared)
    _write_scripts(node, environment)


def make_volatile(root: Path) -> None:
    """Make the folders that are there when a node has booted, before Ganeti starts."""
    for folder in VOLATILE:
        (root / folder).mkdir(exist_ok=True)
    state = root / RUNNING_INSTANCES
    # The first query would make it, and a test that only looks is to change nothing.
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o775)


def _set_up_ssh(root: Path, host_key: Path, admin_key: Path, ssh_port: int) -> None:
    for suffix in ("", ".pub"):
        shutil.copy(f"{host_key}{suffix}", root / "etc/ssh" / f"ssh_host_rsa_key{suffix}")
        shutil.copy(f"{admin_key}{suffix}", root / "root/.ssh" / f"id_ed25519{suffix}")
    (root / "root/.ssh").chmod(0o700)
    authorized = root / "root/.ssh/authorized_keys"
    shutil.copy(f"{admin_key}.pub", authorized)
    authorized.chmod(0o600)
    for config in ("root/.ssh/config", DEFAULT_SSH_CONFIG):
        (root / config).write_text(_SSH_CONFIG.format(port=ssh_port), encoding="utf-8")


def renew_node_root(
    node: NodeSite, *, environment: Mapping[str, str], passwd: str, capacity: Mapping[str, int]
) -> tuple[str, ...]:
    """Write what a node root that was copied from an image does not have from there; return the paths in it.

    That is what depends on the machine of now, and the node's capacity.
    """
    (node.root / "etc/passwd").write_text(passwd, encoding="utf-8")
    _write_scripts(node, environment)
    return ("etc/passwd", "cmd", "ssh-command", *write_capacity(node.root, capacity))


def _write_scripts(node: NodeSite, environment: Mapping[str, str]) -> None:
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
    command = node.root / "cmd"
    command.write_text(_COMMAND.format(name=node.name, exports=exports), encoding="utf-8")
    ssh_command = node.root / "ssh-command"
    ssh_command.write_text(
        _SSH_COMMAND.format(
            off=shlex.quote(str(node.off_mark)),
            frozen=shlex.quote(str(node.root / FROZEN)),
            home=shlex.quote(str(node.root / "root")),
            exports=exports,
        ),
        encoding="utf-8",
    )
    for script in (command, ssh_command):
        script.chmod(0o755)
