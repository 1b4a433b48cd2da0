"""What memory a cluster takes, by program: `python benchmarks/memory.py [--nodes 3] [--runs 3]`.

Stock is a cluster that was built, without fork server and TLS fix: Ganeti's programs as they are. Ours is one as
tests get it. Each has been asked for its nodes and verified once before it is looked at, alone, because the
proportional figure (PSS) counts what clusters share by parts.

Private memory is what would be free if the process ended; the sum over all processes of the proportional figure is what
the cluster takes in all.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from pathlib import Path

import attrs
import click
from rich.console import Console
from rich.table import Table

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

_MIB = 1024
#: Seconds that processes of jobs which have ended may take to end.
_SETTLING = 10.0
_TOTAL = "all"


@attrs.frozen
class Memory:
    """Memory of the processes of one name, in KiB."""

    processes: int = 0
    private: int = 0
    pss: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.processes + other.processes, self.private + other.private, self.pss + other.pss)


def _memory_of(pid: int) -> Memory:
    """Read `smaps_rollup` of a process (proc_pid_smaps(5)); nothing for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return Memory()
    sizes: Counter[str] = Counter()
    for line in text.splitlines()[1:]:
        name, size, *_unit = line.split()
        sizes[name.rstrip(":")] += int(size)
    return Memory(1, sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Pss"])


def _look(cluster: VirtualCluster) -> dict[str, Memory]:
    """Sum up the cluster's processes by what they are, once those of jobs have ended."""
    keeper = cluster.parts.keeper
    lasting = {process.identity for process in keeper.processes()}
    cluster.luxi.query("node", ["name", "mfree"])
    cluster.verify()
    cluster.wait_idle()
    deadline = time.monotonic() + _SETTLING
    while not lasting.issuperset(process.identity for process in keeper.processes()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    found: dict[str, Memory] = {}
    record = keeper.record
    for name, pid in (
        ("keeper", record.identity.pid),
        ("keeper's guardian", record.guardian.pid),
        *((process.name, process.pid) for process in keeper.processes()),
    ):
        memory = _memory_of(pid)
        for row in (name, _TOTAL):
            found[row] = found.get(row, Memory()) + memory
    return found


@click.command()
@click.option("--nodes", default=3, show_default=True)
@click.option("--runs", default=3, show_default=True, help="Clusters of each kind, in turn.")
def main(nodes: int, runs: int) -> None:
    """Compare the memory of a stock cluster with that of ours."""
    settings = Settings.read()
    kinds = {
        "stock": attrs.evolve(settings, fork_server=False, tls_fix=False, image_cache=None),
        "ours": settings,
    }
    looks: dict[str, list[dict[str, Memory]]] = {kind: [] for kind in kinds}
    for _run in range(runs):
        for kind, chosen in kinds.items():
            with obtain_cluster(ClusterSpec(nodes=nodes), chosen) as cluster:
                looks[kind].append(_look(cluster))
    _show(f"Memory of a cluster of {nodes} nodes (MiB, medians of {runs} clusters)", looks)


def _show(title: str, looks: dict[str, list[dict[str, Memory]]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for kind in looks:
        for column in ("processes", "private", "PSS"):
            table.add_column(f"{kind}:\n{column}", justify="right")
    names = {name for found in looks.values() for look in found for name in look}
    for name in [*sorted(names - {_TOTAL}), _TOTAL]:
        row = []
        for found in looks.values():
            seen = [look.get(name, Memory()) for look in found]
            row.append(f"{statistics.median(one.processes for one in seen):g}")
            row.append(f"{statistics.median(one.private for one in seen) / _MIB:.1f}")
            row.append(f"{statistics.median(one.pss for one in seen) / _MIB:.1f}")
        if name == _TOTAL:
            table.add_section()
        table.add_row(name, *row)
    Console(width=None if Console().is_terminal else 120).print(table)


if __name__ == "__main__":
    main()
