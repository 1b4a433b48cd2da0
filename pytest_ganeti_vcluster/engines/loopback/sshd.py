"""One unprivileged sshd for many nodes.

Each node has an address of its own; sshd tells the nodes apart by the address that was connected to
(`Match LocalAddress`), and runs every command in that node's environment (`ForceCommand`). The configuration names
addresses, not nodes, so that a node may come and go while sshd runs: `by-address/ADDRESS` links to its root.
"""

from __future__ import annotations

import json
import shlex
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.base import SiteTools
from pytest_ganeti_vcluster.engines.loopback.probe import listening_on
from pytest_ganeti_vcluster.errors import BootFailed, DaemonDied
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import locked, replace_text

PORT = 2222

#: OpenSSH listens on 16 addresses at most (MAX_LISTEN_SOCKS in sshd.c).
ADDRESSES_PER_SSHD = 16

#: Seconds between two looks at an sshd that is coming up.
_PAUSE = 0.01
#: Seconds in which an sshd that is told to read its configuration anew has done so.
_RELOADING = 0.5

# Without the key exchange by sntrup761, which takes a client 75 ms of CPU time: `gnt-cluster verify` logs in from each
# master candidate to each node. What is left is as good as OpenSSH was before 9.0, on addresses that no other machine
# reaches.
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
KexAlgorithms -sntrup*
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
    return number, served_by(number)


def served_by(number: int) -> range:
    """Return the numbers of all nodes that an sshd serves."""
    first = number * ADDRESSES_PER_SSHD + 1
    return range(first, first + ADDRESSES_PER_SSHD)


class SshServers:
    """The sshd processes of one cluster, each for a run of addresses; started as nodes need them.

    Which of them run is read from `sshd.N.json` (pid and start), so that any process may ask for one.
    """

    def __init__(self, keeper: Keeper, folder: Path, tools: SiteTools, environment: dict[str, str]) -> None:
        self._keeper = keeper
        self._folder = folder
        self._tools = tools
        self._environment = environment
        self._starting: dict[int, _Server] = {}
        # Asking an sshd costs it a process; one that has answered is not asked again for as long as it lives.
        self._answered: set[ProcessIdentity] = set()
        self.by_address = folder / "by-address"
        self.host_key = folder / "ssh_host_rsa_key"
        self.admin_key = folder / "id_ed25519"

    def make_keys(self) -> None:
        """Make the host key of all nodes and the key by which their root users log in to each other, unless given."""
        for path, options in (
            (self.host_key, ("-t", "rsa", "-b", "2048")),
            (self.admin_key, ("-t", "ed25519")),
        ):
            if not path.exists():
                self._make_key(path, options)

    def _make_key(self, path: Path, options: Sequence[str]) -> None:
        program = str(self._tools.ssh_keygen)
        argv = [program, "-q", *options, "-N", "", "-C", "root@vcluster", "-f", str(path)]
        outcome = self._keeper.run(argv, env=self._environment, cwd=self._folder)
        if outcome.returncode:
            raise BootFailed(
                f"could not make an ssh key: {shlex.join(argv)}",
                seen=(outcome.stderr or outcome.stdout).decode(errors="replace"),
                cure="run `ganeti-vcluster doctor`",
            )

    def attach(self, address: str, root: Path) -> None:
        """Let logins to `address` arrive at the node whose root is `root`."""
        self.by_address.mkdir(exist_ok=True)
        link = self.by_address / address
        if link.is_symlink() and link.readlink() == root:
            return
        link.unlink(missing_ok=True)
        link.symlink_to(root)

    def command(self, address: str) -> str:
        """Return the path of what every login to `address` runs."""
        return str(self.by_address / address / "ssh-command")

    def detach(self, address: str) -> None:
        """Refuse logins to `address` from now on."""
        (self.by_address / address).unlink(missing_ok=True)

    def attached(self) -> set[str]:
        """Return the addresses that logins arrive at."""
        try:
            return {link.name for link in self.by_address.iterdir()}
        except FileNotFoundError:
            return set()

    def numbers(self) -> list[int]:
        """Return the numbers of those that were started."""
        return [int(path.suffixes[0][1:]) for path in self._folder.glob("sshd.*.json")]

    def listen(
        self,
        number: int,
        addresses: Mapping[str, bool],
        *,
        others: AbstractSet[str] = frozenset(),
        timeout: float = 20.0,
    ) -> None:
        """Have sshd number `number`, which serves `addresses`, listen on those that are true, and on no others.

        On `others` somebody else listens already.
        It reads its configuration anew, which ends no login; for some milliseconds no address of it is listened on.
        On none at all cannot be: then everything stays as it is. Raises `DaemonDied`.
        """
        listening = {address for address, wanted in addresses.items() if wanted}
        watched = addresses.keys() - others
        with locked(self._folder / "sshd.lock"):
            identity = self._running(number)
            text = self._text(list(addresses), listening)
            if not listening or identity is None or text == self._config(number).read_text(encoding="utf-8"):
                return
            replace_text(self._config(number), text)
            deadline = time.monotonic() + timeout
            while listening_on(watched, PORT) != listening:
                # It takes no notice of a signal that comes while it begins anew.
                if not identity.signal(signal.SIGHUP) or time.monotonic() > deadline:
                    raise DaemonDied(
                        "sshd for the nodes has ended, or does not listen where it should",
                        seen=self._log(number).read_text(errors="replace")[-2000:],
                        cure="close the cluster and take a new one",
                    )
                settled = time.monotonic() + _RELOADING
                while listening_on(watched, PORT) != listening and time.monotonic() < settled:
                    time.sleep(_PAUSE)

    def ensure(
        self, number: int, addresses: Sequence[str], *, wait: bool = True, timeout: float = 20.0
    ) -> None:
        """Run sshd number `number` for `addresses`, unless it runs; return when it answers.

        With `wait` false return at once: `wait_ready` then waits. Raises `DaemonDied`.
        """
        with locked(self._folder / "sshd.lock"):
            identity = self._running(number) or self._start(number, addresses)
        if identity not in self._answered:
            deadline = time.monotonic() + timeout
            self._starting[number] = _Server(
                identity=identity, address=addresses[0], log=self._log(number), deadline=deadline
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when every sshd that was asked for answers. Raises `DaemonDied`."""
        for number, server in list(self._starting.items()):
            del self._starting[number]
            server.wait_ready()
            self._answered.add(server.identity)

    def _running(self, number: int) -> ProcessIdentity | None:
        try:
            written = self._record(number).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        identity = ProcessIdentity.from_json(json.loads(written))
        return identity if identity.is_alive() else None

    def _start(self, number: int, addresses: Sequence[str]) -> ProcessIdentity:
        config = self._config(number)
        config.write_text(self._text(addresses, set(addresses)), encoding="utf-8")
        log = self._log(number)
        child = self._keeper.spawn(
            # "-r": it need not execute itself anew for each login, which is half of what a login takes it. From
            # OpenSSH 9.8 on another program serves logins; there it says that the option is deprecated, and goes on.
            [str(self._tools.sshd), "-D", "-e", "-r", "-f", str(config)],
            env=self._environment,
            cwd=self._folder,
            stdout=log,
            stderr=log,
        )
        replace_text(self._record(number), json.dumps(child.identity.to_json()))
        return child.identity

    def _text(self, addresses: Sequence[str], listening: set[str]) -> str:
        """Text of the configuration of the sshd that serves `addresses`."""
        return _GLOBAL.format(
            port=PORT,
            listen="\n".join(f"ListenAddress {address}" for address in addresses if address in listening),
            host_key=self.host_key,
            sftp_server=self._tools.sftp_server,
            helpers="\n".join(self._tools.sshd_helpers),
        ) + "".join(_MATCH.format(address=address, by_address=self.by_address) for address in addresses)

    def _config(self, number: int) -> Path:
        return self._folder / f"sshd_config.{number}"

    def _record(self, number: int) -> Path:
        return self._folder / f"sshd.{number}.json"

    def _log(self, number: int) -> Path:
        return self._folder / f"sshd.{number}.log"


@attrs.frozen(kw_only=True)
class _Server:
    """An sshd that is coming up: who it is, the first of its addresses, its log, and until when it has time."""

    identity: ProcessIdentity
    address: str
    log: Path
    deadline: float

    def wait_ready(self) -> None:
        """Return when it answers. Raises `DaemonDied` when it has ended, or its time is over."""
        while not _answers(self.address):
            alive = self.identity.is_alive()
            if not alive or time.monotonic() > self.deadline:
                raise DaemonDied(
                    f"sshd for the nodes {'does not answer' if alive else 'has ended'}",
                    seen=self.log.read_text(errors="replace")[-2000:],
                    cure="run `ganeti-vcluster doctor`",
                )
            time.sleep(_PAUSE)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, PORT), timeout=2.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
