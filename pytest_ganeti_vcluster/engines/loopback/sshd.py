"""One unprivileged sshd for many nodes.

Each node has an address of its own; sshd tells the nodes apart by the address that was connected to
(`Match LocalAddress`), and runs every command in that node's environment (`ForceCommand`). The configuration names
addresses, not nodes, so that a node may come and go while sshd runs: `by-address/ADDRESS` links to its root.
"""

from __future__ import annotations

import shlex
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from pytest_ganeti_vcluster.engines.base import SiteTools
from pytest_ganeti_vcluster.errors import BootFailed, DaemonDied
from pytest_ganeti_vcluster.keeper.client import Keeper

PORT = 2222

#: OpenSSH listens on 16 addresses at most (MAX_LISTEN_SOCKS in sshd.c).
ADDRESSES_PER_SSHD = 16

_GLOBAL = """\
Port {port}
{listen}
HostKey {host_key}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserEnvironment no
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
UseDNS no
MaxStartups 200:30:400
MaxSessions 100
LogLevel VERBOSE
Subsystem sftp {sftp_server}
{helpers}
"""

_MATCH = """\
Match LocalAddress {address}
  AuthorizedKeysFile {by_address}/{address}/root/.ssh/authorized_keys
  ForceCommand {by_address}/{address}/ssh-command
"""


def serving(index: int) -> tuple[int, range]:
    """Return which sshd serves node number `index` (from 1), and the numbers of all nodes that it serves."""
    number = (index - 1) // ADDRESSES_PER_SSHD
    first = number * ADDRESSES_PER_SSHD + 1
    return number, range(first, first + ADDRESSES_PER_SSHD)


class SshServers:
    """The sshd processes of one cluster, each for a run of addresses; started as nodes need them."""

    def __init__(self, keeper: Keeper, folder: Path, tools: SiteTools, environment: dict[str, str]) -> None:
        self._keeper = keeper
        self._folder = folder
        self._tools = tools
        self._environment = environment
        self._started: set[int] = set()
        self.by_address = folder / "by-address"
        self.host_key = folder / "ssh_host_rsa_key"
        self.admin_key = folder / "id_ed25519"

    def make_keys(self) -> None:
        """Make the host key of all nodes and the key by which their root users may log in to each other."""
        self.by_address.mkdir(exist_ok=True)
        for path, options in (
            (self.host_key, ("-t", "rsa", "-b", "2048")),
            (self.admin_key, ("-t", "ed25519")),
        ):
            argv = [
                str(self._tools.ssh_keygen),
                "-q",
                *options,
                "-N",
                "",
                "-C",
                "root@vcluster",
                "-f",
                str(path),
            ]
            outcome = self._keeper.run(argv, env=self._environment, cwd=self._folder)
            if outcome.returncode:
                raise BootFailed(
                    f"could not make an ssh key: {shlex.join(argv)}",
                    seen=(outcome.stderr or outcome.stdout).decode(errors="replace"),
                    cure="run `ganeti-vcluster doctor`",
                )

    def attach(self, address: str, root: Path) -> None:
        """Let logins to `address` arrive at the node whose root is `root`."""
        link = self.by_address / address
        link.unlink(missing_ok=True)
        link.symlink_to(root)

    def detach(self, address: str) -> None:
        """Refuse logins to `address` from now on."""
        (self.by_address / address).unlink(missing_ok=True)

    def ensure(self, number: int, addresses: Sequence[str], timeout: float = 20.0) -> None:
        """Run sshd number `number` for `addresses`, unless it runs; return when it answers."""
        if number in self._started:
            return
        config = self._folder / f"sshd_config.{number}"
        log = self._folder / f"sshd.{number}.log"
        config.write_text(
            _GLOBAL.format(
                port=PORT,
                listen="\n".join(f"ListenAddress {address}" for address in addresses),
                host_key=self.host_key,
                sftp_server=self._tools.sftp_server,
                helpers="\n".join(self._tools.sshd_helpers),
            )
            + "".join(_MATCH.format(address=address, by_address=self.by_address) for address in addresses),
            encoding="utf-8",
        )
        child = self._keeper.spawn(
            [str(self._tools.sshd), "-D", "-e", "-f", str(config)],
            env=self._environment,
            cwd=self._folder,
            stdout=log,
            stderr=log,
        )
        deadline = time.monotonic() + timeout
        while not _answers(addresses[0]):
            code = child.poll()
            if code is not None or time.monotonic() > deadline:
                raise DaemonDied(
                    f"sshd for the nodes {'ended with status ' + str(code) if code is not None else 'does not answer'}",
                    seen=log.read_text(errors="replace")[-2000:],
                    cure="run `ganeti-vcluster doctor`",
                )
            time.sleep(0.02)
        self._started.add(number)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, PORT), timeout=2.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
