"""What `gnt-cluster verify` takes as a cluster grows: `python benchmarks/verify.py --nodes 10 --nodes 20`.

Each master candidate logs in by ssh to every node of its group (lib/backend.py, VerifyNode: NV_NODELIST), and that is
most of it. The logins are counted in sshd's log. What sshd takes for them is its CPU time, with that of all that it has
run; what the ssh clients take is the CPU time of one, looked at by itself, times their number. The rest is CPU time of
everything else in the cluster.

With `--groups` the nodes are shared out to several node groups, each of which is verified by a job of its own. With
`--stock-kex` each size is also measured, in turn and on the same cluster, with the key exchange that OpenSSH prefers.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import time
from collections.abc import Iterator, Sequence

import attrs
import click
from rich.console import Console
from rich.table import Table

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec, NodeSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.scale.accounting import SSH, Accounting
from pytest_ganeti_vcluster.settings import Settings

#: What sshd writes for each login that it lets in.
_ACCEPTED = b"Accepted publickey for "

#: What begins the lines by which we leave out the key exchange that OpenSSH prefers.
_KEX = "KexAlgorithms "
_OURS, _STOCK = "ours", "OpenSSH's"

#: What sshd writes for each address when it has read its configuration.
_LISTENING = b"Server listening on "

_LOG_IN = """\
import os, resource, sys
sys.path.insert(0, os.environ["VCLUSTER_SHARE"])
from ganeti import ssconf, ssh
times, name, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
runner = ssh.SshRunner(ssconf.SimpleStore().GetClusterName())
for _ in range(times):
    good, seen = runner.VerifyNodeHostname(name, port)
    assert good, seen
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print((used.ru_utime + used.ru_stime) / times)
"""


@attrs.frozen(kw_only=True)
class Verified:
    """One run of verify: seconds, logins, and CPU seconds of sshd, of the ssh clients and of all the rest."""

    seconds: float
    logins: int
    sshd: float
    clients: float
    rest: float


def _logins(cluster: VirtualCluster) -> int:
    return sum(path.read_bytes().count(_ACCEPTED) for path in (cluster.root / "engine").glob("sshd.*.log"))


def _client_cpu(cluster: VirtualCluster, times: int = 20) -> float:
    """CPU seconds of one ssh client, called as verify calls it."""
    argv = (str(cluster.ganeti.python), "-c", _LOG_IN)
    other, port = cluster.nodes[-1].name, 2222
    return float(cluster.run(*argv, str(times), other, str(port)).stdout)


def _verify(cluster: VirtualCluster) -> Verified:
    client = _client_cpu(cluster)
    accounting = Accounting.begin(cluster.parts.keeper)
    before, logins, start = accounting.look(), _logins(cluster), time.monotonic()
    problems = cluster.verify()
    seconds = time.monotonic() - start
    cluster.wait_idle()
    used = accounting.look().since(before)
    if problems:
        print(f"verify found {len(problems)} problem(s), the first: {problems[0]}")
    sshd = used.get(SSH, 0.0)
    count = _logins(cluster) - logins
    clients = count * client
    return Verified(
        seconds=seconds,
        logins=count,
        sshd=sshd,
        clients=clients,
        rest=sum(used.values()) - sshd - clients,
    )


def _prefer(cluster: VirtualCluster, kex: str) -> None:
    """Have ssh and sshd of all nodes use our key exchange, or the one that OpenSSH prefers."""
    configs = [node.path("/root/.ssh/config") for node in cluster.nodes]
    servers = sorted((cluster.root / "engine").glob("sshd_config.*"))
    for path in (*configs, *servers):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        marked = "" if kex == _OURS else "#"
        path.write_text(
            "".join(
                f"{marked}{line.lstrip('#')}" if line.lstrip("# ").startswith(_KEX) else line
                for line in lines
            ),
            encoding="utf-8",
        )
    for path in servers:
        pid, _started = json.loads(path.with_name(f"sshd{path.suffix}.json").read_text(encoding="ascii"))
        log = path.with_name(f"sshd{path.suffix}.log")
        addresses = path.read_text(encoding="utf-8").count("\nListenAddress ")
        wanted = log.read_bytes().count(_LISTENING) + addresses
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + 20
        while log.read_bytes().count(_LISTENING) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"sshd did not begin anew; see {log}")
            time.sleep(0.01)


def _spec(nodes: int, groups: int) -> ClusterSpec:
    if groups == 1:
        return ClusterSpec(nodes=nodes)
    names = ["default", *(f"group{number}" for number in range(2, groups + 1))]
    return ClusterSpec(nodes=[NodeSpec(group=names[index * groups // nodes]) for index in range(nodes)])


def _growth(sizes: Sequence[int], figures: Sequence[float]) -> float:
    """By which power of the size the figures grow, from the first to the last."""
    return math.log(figures[-1] / figures[0]) / math.log(sizes[-1] / sizes[0])


def _rows(found: dict[int, list[Verified]]) -> Iterator[tuple[str, ...]]:
    for size, runs in found.items():
        figures = [
            statistics.median(getattr(one, name) for one in runs)
            for name in ("seconds", "logins", "sshd", "clients", "rest")
        ]
        seconds, logins, sshd, clients, rest = figures
        yield (
            str(size),
            f"{seconds:.1f}",
            f"{logins:g}",
            f"{sshd:.1f}",
            f"{clients:.1f}",
            f"{rest:.1f}",
            f"{(sshd + clients) / (sshd + clients + rest):.0%}",
            f"{(sshd + clients) / logins * 1000:.1f}" if logins else "",
        )


def _show(title: str, found: dict[int, list[Verified]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("nodes", "seconds", "logins", "sshd", "clients", "rest", "ssh's part", "ms a login"):
        table.add_column(column, justify="right")
    for row in _rows(found):
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 120).print(table)
    if len(found) > 1:
        seconds = [statistics.median(one.seconds for one in runs) for runs in found.values()]
        logins = [statistics.median(one.logins for one in runs) for runs in found.values()]
        print(
            f"From {min(found)} to {max(found)} nodes, seconds grow with the power"
            f" {_growth(list(found), seconds):.1f} of the nodes, logins with the power"
            f" {_growth(list(found), logins):.1f}."
        )


@click.command()
@click.option("--nodes", multiple=True, type=int, default=(10, 20, 50, 100), show_default=True)
@click.option("--groups", default=1, show_default=True, help="Node groups that the nodes are shared out to.")
@click.option("--runs", default=3, show_default=True)
@click.option("--stock-kex", is_flag=True, help="Measure the key exchange that OpenSSH prefers, too.")
def main(nodes: tuple[int, ...], groups: int, runs: int, stock_kex: bool) -> None:  # noqa: FBT001 - a flag
    """Measure verify on clusters of several sizes, and tell what of it are logins by ssh."""
    settings = attrs.evolve(Settings.read(), timeout=600)
    ways = (_STOCK, _OURS) if stock_kex else (_OURS,)
    found: dict[str, dict[int, list[Verified]]] = {way: {} for way in ways}
    for size in sorted(nodes):
        with obtain_cluster(_spec(size, groups), settings) as cluster:
            for _run in range(runs):
                for way in ways:
                    if stock_kex:
                        _prefer(cluster, way)
                    found[way].setdefault(size, []).append(_verify(cluster))
                    print(f"{size} nodes, {way}: {found[way][size][-1]}", flush=True)
    for way, of_way in found.items():
        _show(
            f"gnt-cluster verify, {groups} group(s), key exchange: {way} (CPU in s, medians of {runs})",
            of_way,
        )


if __name__ == "__main__":
    main()
