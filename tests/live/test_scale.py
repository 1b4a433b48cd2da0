"""Measuring clusters of several sizes: every probe on one cluster, and the command over some."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.scale import files
from pytest_ganeti_vcluster.scale.measuring import OutOfTime, measure
from pytest_ganeti_vcluster.scale.probe import Subject
from pytest_ganeti_vcluster.scale.probes import PROBES, chosen_probes
from pytest_ganeti_vcluster.scale.results import Figure
from tests.leaks import cluster_processes

_TIMEOUT = 600.0
_PROGRAM = "import sys; from pytest_ganeti_vcluster.cli import main; sys.exit(main())"
#: Of clusters that other tests have, too.
_COMMAND = (sys.executable, "-c", _PROGRAM, "scale", "run", "--daemons", "confd", "--repeat", "1")


def subject_of(cluster: VirtualCluster, **fields: Any) -> Subject:
    known = {"timeout": 120.0, "parallel": 2, "queue_jobs": 4}
    return Subject(
        cluster=cluster,
        nodes=tuple(node.name for node in cluster.nodes),
        instances=tuple(one.name for one in cluster.instances),
        **{**known, **fields},
    )


def test_every_probe(vcluster: VirtualCluster) -> None:
    vcluster.populate(3)
    figures = measure(subject_of(vcluster), PROBES, 1)
    found = {(figure.operation, figure.quantity): figure for figure in figures}
    assert [figure for figure in figures if figure.error] == []
    operations = {one.operation for probe in PROBES for one in (probe, probe.undo) if one is not None}
    assert {operation for operation, _ in found} == {*operations, "idle"}
    for operation in operations:
        assert found[operation, "wall"].middle

    def value(operation: str, quantity: str) -> float:
        return found[operation, quantity].values[0] if (operation, quantity) in found else 0.0

    # Each node is asked for what is live, and none for what stands in the configuration.
    assert value("LUXI: nodes, live", "rpcs:node_info") == 3
    assert value("LUXI: nodes", "rpcs") == 0
    assert value("gnt-cluster verify", "rpcs:node_verify") == 3
    assert value("gnt-cluster redist-conf", "rpcs:upload_file") >= 4
    assert value("job: create an instance", "rpcs:instance_start") == 1
    assert value("job queue", "rate") > 0
    assert value("jobs at once: modify instances", "in queue") > 0
    assert value("LUXI: jobs", "rows") >= 4
    config = vcluster.master.path("/var/lib/ganeti/config.data")
    assert value("wconfd: readConfig", "answer") > config.stat().st_size / 2
    # Jobs end before anybody looks at them: this is of children that have ended.
    assert value("gnt-cluster verify", "cpu:jobs and commands") > 0
    assert value("gnt-cluster verify", "cpu:noded") > 0
    shares = [figure for figure in figures if figure.operation == "gnt-cluster verify"]
    cpu = sum(figure.values[0] for figure in shares if figure.quantity.startswith("cpu:"))
    assert cpu == pytest.approx(value("gnt-cluster verify", "cpu"))
    assert value("idle", "processes:noded") == 3
    assert value("idle", "memory") > value("idle", "memory:noded") > 1 << 20
    # The cluster is as large as before, and as well.
    assert len(vcluster.instances) == 3
    assert vcluster.verify() == []


def wall(figures: list[Figure], operation: str) -> Figure:
    (found,) = [one for one in figures if (one.operation, one.quantity) == (operation, "wall")]
    return found


def test_a_probe_that_fails_is_a_result(vcluster: VirtualCluster) -> None:
    # Nobody answers for this node, and verify finds that its daemon is gone.
    vcluster.node("node3").daemon("noded").kill()
    figures = measure(subject_of(vcluster), chosen_probes(["node-list", "tag-job"]), 2)
    failed = wall(figures, "gnt-node list")
    assert failed.values == ()
    assert "nothing is known of 1 of 3" in failed.error
    assert "node3.vc" in failed.error
    assert len(wall(figures, "job: cluster tag").values) == 2


def test_a_probe_that_takes_too_long_is_ended(vcluster: VirtualCluster) -> None:
    subject = subject_of(vcluster, timeout=0.05)
    figures = measure(subject, chosen_probes(["queue", "verify"]), 1)
    assert "did not end in time" in wall(figures, "gnt-cluster verify").error
    # luxid has not taken them yet, or they have not ended.
    assert re.search("did not answer|has not ended in 0.05 s", wall(figures, "job queue").error)
    # What it has left is ended, or ends.
    vcluster.wait_idle(60)
    # Where there is no time left at all, it is not the probe's fault.
    with pytest.raises(OutOfTime):
        measure(attrs.evolve(subject, deadline=time.monotonic()), chosen_probes(["verify"]), 1)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for clusters, of which nothing may be left."""
    with tempfile.TemporaryDirectory(prefix="gvs-", dir="/tmp") as folder:
        yield Path(folder)
        assert not cluster_processes(Path(folder))
        assert [entry for entry in Path(folder).iterdir() if entry.is_dir()] == []


def run(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, "--root", str(base), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_TIMEOUT,
        check=False,
    )


def test_a_sweep(base: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.json"
    sizes = ("--nodes", "2,3", "--instances", "0,5", "--probes", "luxi-instances,node-list,modify-job")
    done = run(base, *sizes, "--output", str(output), "--label", "mine")
    assert done.returncode == 0, done.stderr
    assert "point 4 of 4: 3 nodes, 5 instances, about" in done.stderr
    assert "mine (medians)" in done.stdout
    sweep = files.read(output)
    assert sweep.label == "mine"
    assert [(point.size, point.joined, point.placed) for point in sweep.points] == [
        ((2, 0), "real", ""),
        ((2, 5), "real", "populated"),
        ((3, 0), "real", ""),
        ((3, 5), "real", "populated"),
    ]
    assert [figure for point in sweep.points for figure in point.figures if figure.error] == []
    assert [point.figure("boot", "wall") is not None for point in sweep.points] == [True, False, True, False]
    assert all(point.figure("gnt-node list", "wall") for point in sweep.points)
    assert [point.figure("job: modify an instance", "wall") is not None for point in sweep.points] == [
        False,
        True,
        False,
        True,
    ]
    with output.with_suffix(".csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    page = output.with_suffix(".html").read_text(encoding="utf-8")
    assert "mine" in page
    assert {(row["nodes"], row["instances"]) for row in rows} == {
        ("2", "0"),
        ("2", "5"),
        ("3", "0"),
        ("3", "5"),
    }
    # All is there: once more costs nothing, and changes nothing.
    again = run(base, *sizes, "--output", str(output))
    assert again.returncode == 0, again.stderr
    assert "point" not in again.stderr
    assert files.read(output) == sweep


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_goes_on_later(base: Path, tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "a.json"
    arguments = (
        "--nodes",
        "2,3",
        "--instances",
        "0,5",
        "--probes",
        "node-list,verify",
        "--output",
        str(output),
    )
    with subprocess.Popen(
        [*_COMMAND, "--root", str(base), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + _TIMEOUT
        while not (output.exists() and files.read(output).points):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(process.pid, number)
        _out, told = process.communicate(timeout=_TIMEOUT)
    assert process.returncode == 130
    assert not cluster_processes(base)
    before = files.read(output)
    assert 1 <= len(before.points) < 4
    assert f"{len(before.points)} points are in {output}, {4 - len(before.points)} are missing" in told
    assert told.splitlines()[-1].strip() == "Interrupted."
    (line,) = [line for line in told.splitlines() if line.startswith("ganeti-vcluster ")]
    assert f"--output {output}" in line
    gone_on = run(base, *arguments, "--resume")
    assert gone_on.returncode == 0, gone_on.stderr
    after = files.read(output)
    assert [point.size for point in after.points] == [(2, 0), (2, 5), (3, 0), (3, 5)]
    assert after.points[: len(before.points)] == before.points
    assert json.loads(output.read_text(encoding="utf-8"))["label"] == before.label
