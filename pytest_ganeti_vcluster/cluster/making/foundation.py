"""What a cluster stands on before Ganeti comes: keeper, addresses, farm, fork server, names, ssh."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.cluster.making.node_maker import NodeMaker
from pytest_ganeti_vcluster.cluster.making.sites import check_machines, lease_addresses, make_site
from pytest_ganeti_vcluster.cluster.oob import write_oob_program
from pytest_ganeti_vcluster.cluster.remains import Remains
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.base import DOMAIN, OOB_PROGRAM, Plan, Site
from pytest_ganeti_vcluster.engines.choice import choose_engine
from pytest_ganeti_vcluster.engines.loopback.plan import SPARE_NODES
from pytest_ganeti_vcluster.errors import DiskFull, KeeperError, MachineError, RootTaken, VClusterError
from pytest_ganeti_vcluster.ganeti import preflight
from pytest_ganeti_vcluster.ganeti.bootstrap import Bootstrap, Timeline
from pytest_ganeti_vcluster.ganeti.farm import Farm, build_farm
from pytest_ganeti_vcluster.ganeti.fork_server import ForkServer, start_fork_server
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.ganeti.limits import check_limits
from pytest_ganeti_vcluster.ganeti.unmodified import check_unmodified, run_unmodified
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.folder import remove_root
from pytest_ganeti_vcluster.keeper.record import KeeperRecord, as_disk_full, create_root
from pytest_ganeti_vcluster.settings import Settings

#: Called with one line for people as each stage begins.
Tell = Callable[[str], None]

#: With less than this left, writes fail.
_FULL_BYTES = 128_000


@attrs.frozen(kw_only=True)
class Foundation:
    """See the module. `deadline` (`time.monotonic`) is when the cluster has to be up."""

    spec: ClusterSpec
    settings: Settings
    installation: GanetiInstallation
    keeper: Keeper
    token: str
    lease: Plan
    farm: Farm
    fork_server: ForkServer | None
    site: Site
    nodes: NodeMaker
    boot: Bootstrap
    timeline: Timeline
    deadline: float

    @property
    def root(self) -> Path:
        """The cluster's folder."""
        return self.keeper.root

    def wait_fork_server(self) -> None:
        """Wait until the fork server takes programs, which is before it has loaded Ganeti; see there."""
        if self.fork_server is not None:
            self.fork_server.wait_reachable(self.deadline)

    def tell_problems(self, tell: Tell) -> None:
        """Tell of what does not work and is not needed."""
        if self.fork_server is not None and self.fork_server.problem:
            tell(self.fork_server.problem)

    @property
    def ca_file(self) -> Path:
        """Where the certificate of RAPI's authority is."""
        return self.root / "engine" / "rapi-ca.pem"

    @property
    def rapi_identities(self) -> list[str]:
        """Names and addresses at which RAPI may be reached."""
        names = [f"{node.name}.{DOMAIN}" for node in self.spec.nodes]
        count = len(names) + SPARE_NODES
        addresses = [str(self.lease.node_ip(index)) for index in range(1, count + 1)]
        others = [*self.lease.spare_ips, *addresses]
        return [self.site.cluster_ip, self.site.cluster_name, "localhost", "127.0.0.1", *others, *names]


def check_request(spec: ClusterSpec, settings: Settings) -> GanetiInstallation:
    """Return the Ganeti that a cluster is to run; raise a `VClusterError` for what cannot be. Makes nothing."""
    engine = choose_engine(spec.engine, settings.engine, spec.needs)
    installation = find_installation(settings, spec.ganeti)
    if engine == "namespaces":
        check_machines(spec)
        check_unmodified(installation)
    longest = max(len(f"{node.name}.{DOMAIN}") for node in spec.nodes)
    preflight.check_boot(settings.root, node_name_length=longest, nodes=len(spec.nodes))
    check_limits(len(spec.nodes), spec.daemons, settings.subnet, secondary_ips=spec.secondary_ips)
    return installation


@contextlib.contextmanager
def laid(
    spec: ClusterSpec,
    settings: Settings,
    timeline: Timeline,
    *,
    root_name: str | None = None,
    prepare: Callable[[Site], None] = lambda _site: None,
) -> Iterator[Foundation]:
    """Lay a foundation, and leave it if what is done on it goes well; `prepare` the site before it is started.

    Whatever goes wrong, before or in the middle, raises one `VClusterError`, and nothing is left: no process, no
    lease, no folder (unless `settings.keep` is "failed" or "always"). `root_name` names the folder; chosen without.
    Raises `RootTaken` where somebody has it.
    """
    installation = check_request(spec, settings)
    engine = choose_engine(spec.engine, settings.engine, spec.needs)
    token = secrets.token_hex(16)
    with timeline.stage("keeper"):
        try:
            root = create_root(settings.root, root_name)
        except FileExistsError as error:
            raise RootTaken(str(error), cure="attach to the cluster that is there") from error
        try:
            keeper = Keeper.start(root, token=token)
        except BaseException:
            remove_root(root)
            raise
    try:
        if settings.keep == "always":
            keeper.keep_root(True)
        with timeline.stage("lease of addresses"):
            lease = lease_addresses(engine, keeper, spec, settings, len(spec.nodes) + SPARE_NODES)
        with timeline.stage("farm"):
            farm = (
                run_unmodified(installation, root / "farm")
                if engine == "namespaces"
                else build_farm(
                    installation,
                    root / "farm",
                    spec.daemons,
                    tls_fix=settings.tls_fix,
                    fork_server=settings.fork_server,
                )
            )
            write_oob_program(root / OOB_PROGRAM, root)
        with timeline.stage("keys and sshd"):
            site = make_site(
                engine,
                keeper=keeper,
                lease=lease,
                root=root,
                installation=installation,
                cluster_name=f"{spec.name}.{DOMAIN}",
                token=token,
            )
            # It loads Ganeti meanwhile; whoever wants it sooner waits.
            fork_server = start_fork_server(keeper, farm, site.environment) if farm.has_fork_server else None
            prepare(site)
            site.start(wait=False)
        deadline = time.monotonic() + settings.timeout
        yield Foundation(
            spec=spec,
            settings=settings,
            installation=installation,
            keeper=keeper,
            token=token,
            lease=lease,
            farm=farm,
            fork_server=fork_server,
            site=site,
            nodes=NodeMaker(keeper, farm, site),
            boot=Bootstrap(
                farm,
                ssh_port=site.ssh_port,
                daemons=spec.daemons,
                deadline=deadline,
                master_netdev=site.master_netdev,
            ),
            timeline=timeline,
            deadline=deadline,
        )
    except BaseException as error:
        # Looked at before the folder goes.
        better = _better_error(error, root)
        told = better or error
        if isinstance(told, VClusterError):
            told.remains = told.remains or Remains.read(root)
        if settings.keep == "failed" and isinstance(told, VClusterError):
            _keep(keeper, told)
        keeper.stop()
        record = KeeperRecord.read(root)
        if record is None or (record.token == token and not record.keep_root):
            # Somebody else may have ended the keeper: it leaves a folder to which we went on writing for a moment.
            remove_root(root)
        if better is not None:
            raise better from error
        raise


def _keep(keeper: Keeper, error: VClusterError) -> None:
    """Keep the folder of a cluster that did not come up, and say so in its error."""
    with contextlib.suppress(KeeperError):
        keeper.keep_root(True)
        error.cure = f"{error.cure}; the cluster's folder is kept: {keeper.root}".lstrip("; ")


def _better_error(error: BaseException, root: Path) -> VClusterError | None:
    """Say what is behind an error, where it does not say so itself: a full disk shows in a hundred ways."""
    if isinstance(error, OSError) and (disk_full := as_disk_full(error, root)):
        return disk_full
    if isinstance(error, (OSError, VClusterError)) and not isinstance(error, DiskFull):
        room = _room(root)
        if room is not None and _is_full(room):
            return DiskFull(
                f"the disk with {root} is full, and the cluster did not come up",
                seen=str(error),
                cure="make room there, or choose another root folder (--vcluster-root)",
            )
    if isinstance(error, OSError):
        return MachineError(
            f"could not build a cluster in {root}: {error}", cure="run `ganeti-vcluster doctor`"
        )
    return None


def _room(root: Path) -> os.statvfs_result | None:
    try:
        return os.statvfs(root)
    except OSError:
        # The keeper was killed, and its guardian has removed the root.
        return None


def _is_full(room: os.statvfs_result) -> bool:
    return room.f_bavail * room.f_frsize < _FULL_BYTES or bool(room.f_files and not room.f_favail)
