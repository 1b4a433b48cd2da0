"""What cannot work fails with one clear error, at once, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.loopback.lease import CLAIM_PORT
from pytest_ganeti_vcluster.errors import (
    BootFailed,
    DaemonDied,
    DiskFull,
    GanetiNotFound,
    NoFreeAddresses,
    PathTooLong,
    SpecError,
    VClusterError,
)
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.settings import Settings

from .broken import BrokenGaneti, InstallationCopy
from .conftest import StartRun
from .traces import Traces

HERE = Path(__file__).parent

#: Seconds in which an error comes that does not need Ganeti's programs to be seen, and one that does: far less than
#: the 120 that a boot may take here, and enough for a busy machine.
AT_ONCE = 20.0
SOON = 60.0


@contextlib.contextmanager
def fails(
    kind: type[VClusterError] | tuple[type[VClusterError], ...],
    traces: Traces,
    *texts: str,
    within: float = AT_ONCE,
) -> Iterator[pytest.ExceptionInfo[VClusterError]]:
    """Expect this very error with all these texts, in so many seconds, a cure in it, and nothing left."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        yield caught
    seconds = time.monotonic() - began
    # At once, not after a while: that is what a test that fails, and the next one, need.
    left = traces.left()
    text = str(caught.value)
    print(f"after {seconds:.2f} s {type(caught.value).__name__}: {text}")
    assert type(caught.value) in (kind if isinstance(kind, tuple) else (kind,))
    for expected in texts:
        assert expected in text
    assert caught.value.cure
    assert seconds < within
    assert left == []


# A request that cannot be


@pytest.mark.parametrize("nodes", ["0", "x", "-1", "1.5", ""])
def test_number_of_nodes_in_an_option(nodes: str, start_run: StartRun, traces: Traces) -> None:
    run = start_run("test_plain", extra=(f"--vcluster-nodes={nodes}",))
    assert run.finish() == pytest.ExitCode.USAGE_ERROR
    assert f"--vcluster-nodes: {nodes!r} is not a value that it can have" in run.text
    assert "give a whole number, 1 or more" in run.text
    assert "Traceback" not in run.text
    assert traces.left() == []


@pytest.mark.parametrize("nodes", [0, "x", -1, 1.5, None, []])
def test_number_of_nodes_in_a_marker(
    nodes: Any, start_run: StartRun, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpecError):
        ClusterSpec(nodes=nodes)
    monkeypatch.setenv("INNER_MARKER", json.dumps({"nodes": nodes}))
    shutil.copy(HERE / "inner" / "suite_wrong.py", start_run.folder / "test_wrong.py")
    run = start_run(extra=("test_wrong.py",))
    assert run.finish() == pytest.ExitCode.USAGE_ERROR
    assert "test_wrong.py::test_never_run" in run.text
    assert repr(nodes) in run.text
    assert "INTERNALERROR" not in run.text
    assert "Traceback" not in run.text
    assert traces.left() == []


def test_root_with_a_path_too_long_for_a_socket(settings: Settings, traces: Traces) -> None:
    deep = settings.root / ("d" * 40)
    with fails(PathTooLong, traces, str(deep), "107", "--vcluster-root", "at most"):
        build_cluster(ClusterSpec(nodes=1), attrs.evolve(settings, root=deep))
    assert not deep.exists()


# A Ganeti that is not whole


def test_missing_binary(settings: Settings, installation_copy: InstallationCopy, traces: Traces) -> None:
    path = installation_copy.remove(installation_copy.original.sbin / "ganeti-luxid")
    with fails(GanetiNotFound, traces, f"{path} is missing", f"mend {installation_copy.prefix}"):
        build_cluster(ClusterSpec(nodes=1), attrs.evolve(settings, ganeti=(str(installation_copy.prefix),)))


@pytest.mark.parametrize(
    ("what", "seen"),
    [("nothing", "is not a folder"), ("empty", "no "), ("file", "is not a folder")],
)
def test_prefix_without_a_ganeti(
    what: str, seen: str, settings: Settings, tmp_path: Path, traces: Traces
) -> None:
    prefix = tmp_path / "prefix"
    if what == "empty":
        prefix.mkdir()
    elif what == "file":
        prefix.touch()
    with fails(GanetiNotFound, traces, f"{prefix} (the folder asked for): ", seen, f"mend {prefix}"):
        build_cluster(ClusterSpec(nodes=1), attrs.evolve(settings, ganeti=(str(prefix),)))


def test_a_broken_program(settings: Settings, broken_ganeti: BrokenGaneti, traces: Traces) -> None:
    gnt_cluster = broken_ganeti.original.share / "gnt-cluster"
    shebang = gnt_cluster.read_text(encoding="utf-8").partition("\n")[0]
    broken_ganeti.replace(gnt_cluster, f"{shebang}\nthis is no Python\n")
    with fails(BootFailed, traces, "could not init the cluster", "SyntaxError", within=SOON):
        broken_ganeti.build(settings)


def test_modules_that_do_not_load(settings: Settings, broken_ganeti: BrokenGaneti, traces: Traces) -> None:
    module = broken_ganeti.original.share / "ganeti/backend.py"
    broken_ganeti.replace(module, "import no_such_module_anywhere\n")
    with pytest.raises(VClusterError) as caught:
        broken_ganeti.build(settings)
    assert "no_such_module_anywhere" in str(caught.value)
    assert caught.value.cure
    assert traces.left() == []


# A daemon that dies

_FAILS_PYTHON = """\
import os, sys
line = "broken on purpose\\n"
sys.stderr.write(line)
with open(os.environ.get("GANETI_ROOTDIR", "") + "/var/log/ganeti/{log}.log", "a") as log:
    log.write(line)
sys.exit({status})
"""

_FAILS_SHELL = """\
#!/bin/sh
echo "broken on purpose" | tee -a "$GANETI_ROOTDIR/var/log/ganeti/{log}.log" >&2
exit {status}
"""


def break_daemon(ganeti: BrokenGaneti, name: str, status: int) -> None:
    """Put a program in the place of a daemon that says something and ends with this status."""
    daemon = DAEMONS[name]
    script = ganeti.original.share / daemon.program
    values = {"log": daemon.log_name, "status": status}
    if script.exists():
        shebang = script.read_text(encoding="utf-8").partition("\n")[0]
        ganeti.replace(script, f"{shebang}\n{_FAILS_PYTHON.format(**values)}")
    else:
        ganeti.replace(ganeti.original.sbin / daemon.program, _FAILS_SHELL.format(**values))


@pytest.mark.parametrize("name", ["noded", "wconfd", "luxid", "rapi", "confd"])
@pytest.mark.parametrize("status", [1, 0])
def test_daemon_that_ends_when_it_is_started(
    name: str, status: int, settings: Settings, broken_ganeti: BrokenGaneti, traces: Traces
) -> None:
    break_daemon(broken_ganeti, name, status)
    log = f"{DAEMONS[name].log_name}.log:\n    broken on purpose"
    if status == 0 and settings.engine == "namespaces":
        # daemon-util takes it for started; what is missed then depends on the daemon.
        with fails((BootFailed, DaemonDied), traces, "broken on purpose", within=SOON):
            broken_ganeti.build(settings)
        return
    told = "broken on purpose" if status else f"ganeti-{name} has ended as soon as it had started"
    with fails(BootFailed, traces, "could not init the cluster", told, log, within=SOON):
        broken_ganeti.build(settings)


@pytest.mark.parametrize("name", ["wconfd", "luxid"])
def test_daemon_that_dies_soon_after_its_start(
    name: str, settings: Settings, broken_ganeti: BrokenGaneti, traces: Traces
) -> None:
    # Ganeti itself would wait for ever (wconfd), or for half a minute (luxid).
    daemon = DAEMONS[name]
    program = broken_ganeti.original.sbin / daemon.program
    broken_ganeti.replace(
        program,
        f'#!/bin/sh\n{broken_ganeti.real(program)} "$@" || exit\n'
        f'pid=$(cat "$GANETI_ROOTDIR/var/run/ganeti/{daemon.program}.pid")\n'
        f'log="$GANETI_ROOTDIR/var/log/ganeti/{daemon.log_name}.log"\n'
        '(sleep 0.1; echo "killed on purpose" >> "$log"; kill -KILL $pid) < /dev/null > /dev/null 2>&1 &\n',
    )
    with fails(
        DaemonDied, traces, f"{daemon.program} on node1.vc has ended", "killed on purpose", within=SOON
    ):
        broken_ganeti.build(settings)


# Addresses that somebody has

_LEASES = pytest.mark.only_on("loopback", "machines have the addresses of a network of their own")


@_LEASES
def test_block_that_is_leased(settings: Settings, traces: Traces, block: IPv4Network) -> None:
    with socket.socket() as other:
        other.bind((str(block[0]), CLAIM_PORT))
        with pytest.raises(NoFreeAddresses) as caught:
            build_cluster(ClusterSpec(nodes=1), settings)
    text = str(caught.value)
    assert f"no free block of addresses in {block}" in text
    assert f"1 of 1 places were claimed by other clusters (port {CLAIM_PORT} on their .0)" in text
    assert "--vcluster-subnet" in text
    assert traces.left() == []


@_LEASES
def test_block_with_a_listener_on_an_address_of_a_node(
    settings: Settings, traces: Traces, block: IPv4Network
) -> None:
    address = str(block[11])
    with socket.create_server((address, 1811)), pytest.raises(NoFreeAddresses) as caught:
        build_cluster(ClusterSpec(nodes=1), settings)
    text = str(caught.value)
    assert f"not claimed, but in use: {address} port 1811/tcp (ganeti-noded)" in text
    assert f"process {os.getpid()}" in text
    assert "--vcluster-subnet" in text
    assert traces.left() == []


# In namespaces of their own: there, an ordinary user may mount, and take a port on every address


@attrs.frozen
class Namespace:
    """Runs `inner/attempt.py` in a namespace of its own."""

    flag: str
    prepare: str
    base: Path
    block: IPv4Network

    def attempt(self, **given: Any) -> dict[str, Any]:
        """Try to build a cluster; what came of it."""
        arguments = {"root": str(self.base), "subnet": str(self.block), **given}
        done = self.run([sys.executable, str(HERE / "inner/attempt.py"), json.dumps(arguments)])
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        print(f"after {answer['seconds']:.2f} s {answer['error']}: {answer.get('text')}")
        return answer

    def run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a program there, as the same user."""
        user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
        return subprocess.run(
            ["unshare", *user, self.flag, "sh", "-c", f'{self.prepare} && exec "$@"', "sh", *argv],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


def namespace(flag: str, prepare: str, base: Path, block: IPv4Network) -> Namespace:
    """Make one, or skip the test."""
    made = Namespace(flag, prepare, base, block)
    if shutil.which("unshare") is None:
        pytest.skip("no unshare(1) on this machine")
    probe = made.run(["true"])
    if probe.returncode:
        pytest.skip(f"no namespaces for this user on this machine: {probe.stderr.strip()}")
    return made


def small_disk(size: str, base: Path, block: IPv4Network) -> Namespace:
    """A namespace in which the folder for clusters is a small disk."""
    return namespace("--mount", f"mount -t tmpfs -o size={size},mode=0700 tmpfs {base}", base, block)


def test_disk_that_is_too_small(base: Path, block: IPv4Network, traces: Traces) -> None:
    answer = small_disk("3m", base, block).attempt()
    assert answer["error"] == DiskFull.__name__
    assert f"{base} has 3 MB left; a cluster of 1 nodes needs " in answer["text"]
    assert "--vcluster-root" in answer["text"]
    assert answer["left"] == []
    assert answer["seconds"] < AT_ONCE
    assert traces.left() == []


@pytest.mark.parametrize(
    ("stage", "leave"),
    [
        ("keeper", 0),
        ("keeper", 8_192),
        ("lease of addresses", 0),
        ("keys and sshd", 100_000),
        ("node roots and certificate", 0),
        ("gnt-cluster init", 0),
        ("gnt-cluster init", 40_000),
        ("readiness of the master", 0),
    ],
)
def test_disk_that_fills_up_in_the_middle_of_a_boot(
    stage: str, leave: int, base: Path, block: IPv4Network, traces: Traces
) -> None:
    answer = small_disk("24m", base, block).attempt(fill_at=stage, leave=leave)
    if stage == "readiness of the master" and answer["error"] is None:
        # There is nothing more to write.
        assert answer["left"] == []
        return
    assert answer["error"] == DiskFull.__name__
    assert str(base) in answer["text"]
    assert "make room" in answer["text"]
    assert answer["left"] == []
    assert answer["seconds"] < SOON
    assert traces.left() == []


@_LEASES
@pytest.mark.parametrize(("port", "daemon"), [(1811, "ganeti-noded"), (5080, "ganeti-rapi")])
def test_port_that_is_taken_on_every_address(
    port: int, daemon: str, base: Path, block: IPv4Network, traces: Traces
) -> None:
    pool = block.supernet(new_prefix=22)
    answer = namespace("--net", "ip link set lo up", base, pool).attempt(port=port)
    assert answer["error"] == NoFreeAddresses.__name__
    assert f"port {port}/tcp ({daemon}) is taken on every address (0.0.0.0)" in answer["text"]
    assert f"0.0.0.0:{port}/tcp is used by python" in answer["text"]
    assert "have it listen on one address only" in answer["text"]
    assert answer["left"] == []
    assert answer["seconds"] < AT_ONCE
    assert traces.left() == []


def test_cluster_comes_up_in_such_namespaces_when_nothing_is_wrong(base: Path, block: IPv4Network) -> None:
    """So that the tests above fail for the reason that they tell."""
    assert small_disk("24m", base, block).attempt()["error"] is None
    assert namespace("--net", "ip link set lo up", base, block).attempt()["error"] is None
