"""What `ganeti-vcluster doctor` looks at: one function a matter, each yields what it found."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.spec import MOST_NODES, default_daemons
from pytest_ganeti_vcluster.engines.choice import probe_loopback
from pytest_ganeti_vcluster.engines.loopback.plan import AddressPlan, run_of_blocks, runs_of_blocks
from pytest_ganeti_vcluster.engines.loopback.probe import (
    CLUSTER_PORTS,
    describe_users,
    find_obstacle,
    is_on_all_addresses,
)
from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.errors import GanetiNotFound, MachineError
from pytest_ganeti_vcluster.ganeti import preflight
from pytest_ganeti_vcluster.ganeti.curl_library import make_curl_library
from pytest_ganeti_vcluster.ganeti.fetch.installer import ROOM_NEEDED
from pytest_ganeti_vcluster.ganeti.installation import (
    GanetiInstallation,
    all_installations,
    find_installation,
)
from pytest_ganeti_vcluster.ganeti.limits import Machine, check_limits, limits_of
from pytest_ganeti_vcluster.ganeti.tools import PACKAGES, find_nss_wrapper, find_openssh_part, find_program
from pytest_ganeti_vcluster.keeper.record import KeeperRecord, World
from pytest_ganeti_vcluster.settings import Settings, cache_folder

OK, WARN, FAIL = "ok", "warn", "fail"

_TIMEOUT = 30.0
_INSTALL = "run `ganeti-vcluster install`"
_INSTALL_ANEW = "run `ganeti-vcluster install --force`"
#: Length of the names that nodes get unless a spec says otherwise, up to node9999.vc.
_NODE_NAME = len("node9999.vc")
_FEW_ATTEMPTS = 4


@attrs.frozen
class Finding:
    """What was looked at, how it is (`warn`: a boot works all the same), what was seen, and the cure."""

    subject: str
    verdict: str
    seen: str
    cure: str = ""


def check_installations(settings: Settings) -> Iterator[Finding]:
    """Every place with a Ganeti, and which one a cluster would use."""
    try:
        chosen: GanetiInstallation | None = find_installation(settings)
    except GanetiNotFound as err:
        chosen = None
        yield Finding("Ganeti", FAIL, f"{err.message}:\n{err.seen}", err.cure)
    for one in all_installations(settings):
        subject = f"Ganeti {one.version}".rstrip()
        if one.installation is None:
            # Without any that works it has just been told.
            if chosen is not None and one.version:
                yield Finding(subject, WARN, f"{one.where} cannot be used: {one.why}", _INSTALL_ANEW)
            continue
        used = ", to be used" if one.installation == chosen else ""
        yield Finding(subject, OK, f"{one.where} ({one.origin}{used}), with {one.installation.python}")


def check_binaries(settings: Settings) -> Iterator[Finding]:
    """Whether the daemons' binaries run here."""
    chosen = _chosen(settings)
    if chosen is None:
        return
    environment = _environment(chosen)
    for name in ("ganeti-luxid", "ganeti-wconfd", "ganeti-confd"):
        failure = _failure([str(chosen.sbin / name), "--version"], environment)
        if failure:
            yield Finding("daemons", FAIL, failure, _INSTALL_ANEW)
            return
    yield Finding("daemons", OK, "ganeti-luxid, ganeti-wconfd and ganeti-confd start")


def check_tools(settings: Settings) -> Iterator[Finding]:
    """The programs beside Ganeti."""
    chosen = _chosen(settings)
    prefixes = [chosen.prefix] if chosen is not None and chosen.prefix != Path("/") else []
    needed: dict[str, Path | None] = {
        "nss_wrapper": chosen.nss_wrapper if chosen else find_nss_wrapper(prefixes),
        "sshd": chosen.sshd if chosen else find_program("sshd", prefixes),
        "sftp_server": chosen.sftp_server if chosen else find_openssh_part("sftp-server", prefixes),
        "ssh": chosen.ssh if chosen else find_program("ssh", prefixes),
        "ssh_keygen": chosen.ssh_keygen if chosen else find_program("ssh-keygen", prefixes),
        "start_stop_daemon": chosen.start_stop_daemon
        if chosen
        else find_program("start-stop-daemon", prefixes),
    }
    for field, path in needed.items():
        name = field if field == "nss_wrapper" else field.replace("_", "-")
        if path is None:
            yield Finding(name, FAIL, "is nowhere", f"{_INSTALL}, or have {PACKAGES[field]} installed")
        else:
            yield Finding(name, OK, str(path))
    ip = chosen.ip if chosen else find_program("ip", prefixes)
    if ip is None:
        why = "is nowhere, and `gnt-cluster init` runs it"
        yield Finding("ip", FAIL, why, f"{_INSTALL_ANEW}, or have iproute2 installed")
    else:
        yield Finding("ip", OK, str(ip))
    for name in ("socat", "openssl"):
        path = find_program(name, prefixes)
        if path is None:
            why = "is nowhere; instances cannot be exported or moved"
            yield Finding(name, WARN, why, f"{_INSTALL_ANEW}, or have {name} installed")
        else:
            yield Finding(name, OK, str(path))


def check_names(settings: Settings) -> Iterator[Finding]:
    """Whether nss_wrapper gives Ganeti's Python a name: by having it look one up."""
    chosen = _chosen(settings)
    if chosen is None:
        return
    with tempfile.TemporaryDirectory(prefix="vcluster-doctor-") as folder:
        hosts = Path(folder) / "hosts"
        hosts.write_text("127.127.127.127 doctor.vcluster.invalid\n", encoding="ascii")
        environment = {
            **_environment(chosen),
            "LD_PRELOAD": str(chosen.nss_wrapper),
            "NSS_WRAPPER_HOSTS": str(hosts),
        }
        lookup = "import socket; assert socket.gethostbyname('doctor.vcluster.invalid') == '127.127.127.127'"
        failure = _failure([str(chosen.python), "-E", "-s", "-c", lookup], environment)
    if failure:
        cure = _INSTALL_ANEW + "; preloading must be allowed here (no static or hardened Python)"
        yield Finding("names", FAIL, f"nss_wrapper does not answer: {failure}", cure)
    else:
        yield Finding("names", OK, "nss_wrapper gives a process names of its own")


def check_curl(settings: Settings) -> Iterator[Finding]:
    """Whether RPCs can be kept from reading the machine's certificates; they work all the same."""
    chosen = _chosen(settings)
    if chosen is None or not settings.tls_fix:
        return
    luxid = chosen.sbin / "ganeti-luxid"
    with tempfile.TemporaryDirectory(prefix="vcluster-doctor-") as folder:
        made = make_curl_library(luxid, chosen.library_path, Path(folder) / "curl")
    if made.slow:
        cure = "nothing to mend: RPCs cost more CPU time here, and clusters work; please report this libcurl"
        yield Finding("libcurl", WARN, made.told, cure)
    else:
        yield Finding("libcurl", OK, made.told)


def check_engine(_settings: Settings) -> Iterator[Finding]:
    """Whether the loopback engine can work."""
    found = probe_loopback()
    yield Finding("engine loopback", OK if found.available else FAIL, found.reason, found.cure)


def check_namespaces(settings: Settings) -> Iterator[Finding]:
    """Whether the engine with namespaces could work; nothing else needs it."""
    trial = try_namespaces()
    found = trial.probe
    bad = FAIL if settings.engine == "namespaces" else WARN
    only = "needed only for --vcluster-engine=namespaces"
    yield Finding("engine namespaces", OK if found.available else bad, f"{found.reason}; {only}", found.cure)
    if found.available:
        faults = trial.network_faults
        seen = "networks can be cut and made bad" if faults.available else faults.reason
        yield Finding("network faults", OK if faults.available else WARN, seen, faults.cure)


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Whether Ganeti's ports can be had in the pool of addresses."""
    everywhere = [port for port in CLUSTER_PORTS if is_on_all_addresses(port)]
    if everywhere:
        seen = "taken on every address: " + ", ".join(map(str, everywhere))
        users = "\n".join(filter(None, map(describe_users, everywhere)))
        cure = "end what listens there, or have it listen on one address only"
        yield Finding("ports", FAIL, f"{seen}\n{users}".rstrip(), cure)
        return
    # A block may be another cluster's; not all of some random ones are.
    for _ in range(_FEW_ATTEMPTS):
        first = secrets.randbelow(runs_of_blocks(settings.subnet, 1))
        plan = AddressPlan(run_of_blocks(settings.subnet, first, 1))
        try:
            obstacle = find_obstacle([plan.cluster_ip, plan.node_ip(1)], CLUSTER_PORTS)
        except OSError as err:
            cure = "give a pool whose addresses this machine has (--subnet, VCLUSTER_SUBNET)"
            yield Finding("ports", FAIL, f"{plan.cluster_ip} cannot be bound: {err}", cure)
            return
        if obstacle is None:
            numbers = ", ".join(str(port.number) for port in CLUSTER_PORTS)
            yield Finding(
                "ports", OK, f"{numbers} are free on {plan}, taken at random from {settings.subnet}"
            )
            return
    cure = "give another pool (--subnet, VCLUSTER_SUBNET), or run `ganeti-vcluster gc`: killed runs may hold some"
    yield Finding(
        "ports", WARN, f"tried {_FEW_ATTEMPTS} blocks of {settings.subnet}; last seen taken: {obstacle}", cure
    )


def check_root(settings: Settings) -> Iterator[Finding]:
    """The folder that clusters run in."""
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("path length", lambda: preflight.check_path_length(settings.root, _NODE_NAME)),
        ("root folder", lambda: preflight.check_folder(settings.root)),
        ("room", lambda: preflight.check_room(settings.root, settings.nodes)),
        ("limits", lambda: check_limits(settings.nodes, default_daemons(settings.nodes), settings.subnet)),
    )
    for subject, step in steps:
        try:
            step()
        except MachineError as err:
            yield Finding(subject, FAIL, "\n".join(filter(None, (err.message, err.seen))), err.cure)
        else:
            yield Finding(subject, OK, _well(subject, settings))


def _well(subject: str, settings: Settings) -> str:
    if subject == "room":
        free = shutil.disk_usage(preflight.existing_folder(settings.root)).free
        return f"{free / 1e9:.1f} GB for clusters in {settings.root}"
    if subject == "limits":
        first, second = limits_of(Machine.look(settings.subnet))[:2]
        return (
            f"a cluster of up to {min(first.most_nodes, MOST_NODES)} nodes would fit now, without optional daemons:"
            f" {first.name} ({first.have}) is the first limit ({first.most_nodes} nodes), {second.name} the next"
            f" ({second.most_nodes} nodes)"
        )
    return f"{settings.root} will do"


def check_cache(_settings: Settings) -> Iterator[Finding]:
    """Where installations and images are kept."""
    folder = preflight.existing_folder(cache_folder())
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "cache", WARN, f"{folder} cannot be written", "point XDG_CACHE_HOME to a folder of yours"
        )
    elif free < ROOM_NEEDED:
        seen = f"{free / 1e6:.0f} MB left in {folder}; an installation needs {ROOM_NEEDED / 1e6:.0f} MB"
        yield Finding("cache", WARN, seen, "make room, or point XDG_CACHE_HOME to another disk")
    else:
        yield Finding("cache", OK, f"{free / 1e9:.1f} GB for {cache_folder()}")


def check_shared_memory(_settings: Settings) -> Iterator[Finding]:
    """Shared memory, which Python's multiprocessing needs."""
    shm = Path("/dev/shm")  # noqa: S108 - its name
    if shm.is_dir() and os.access(shm, os.W_OK | os.X_OK):
        yield Finding("shared memory", OK, f"{shutil.disk_usage(shm).free / 1e6:.0f} MB")
    else:
        yield Finding(
            "shared memory",
            WARN,
            f"{shm} is no folder that we can write",
            "mount a tmpfs there (docker --shm-size)",
        )


def check_stale(settings: Settings) -> Iterator[Finding]:
    """Clusters that run, and those whose keeper has died and that nobody has reaped yet."""
    running, stale = 0, []
    own = World.own()
    for root in sorted(settings.root.glob("????????")):
        record = KeeperRecord.read(root)
        if record is None or record.ended:
            continue
        if record.world.boot != own.boot or (record.world == own and not record.identity.is_alive()):
            stale.append(root)
        else:
            running += 1
    if stale:
        seen = f"left by keepers that were killed: {', '.join(map(str, stale))}"
        yield Finding("clusters", WARN, seen, "run `ganeti-vcluster gc`; the next boot does it, too")
    else:
        yield Finding("clusters", OK, f"{running} running, none stale")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    check_installations,
    check_binaries,
    check_tools,
    check_names,
    check_curl,
    check_engine,
    check_namespaces,
    check_ports,
    check_root,
    check_cache,
    check_shared_memory,
    check_stale,
)


def _chosen(settings: Settings) -> GanetiInstallation | None:
    try:
        return find_installation(settings)
    except GanetiNotFound:
        return None


def _environment(installation: GanetiInstallation) -> dict[str, str]:
    environment = {
        name: text for name, text in os.environ.items() if name not in {"LD_PRELOAD", "LD_LIBRARY_PATH"}
    }
    if installation.library_path:
        environment["LD_LIBRARY_PATH"] = ":".join(map(str, installation.library_path))
    return environment


def _failure(command: list[str], environment: dict[str, str]) -> str:
    """Run a command; say what went wrong, or nothing."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return f"{command[0]}: {err}"
    if done.returncode == 0:
        return ""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"{command[0]}: {lines[-1] if lines else f'exit status {done.returncode}'}"
