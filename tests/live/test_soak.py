"""The soak, run as a command for a few seconds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from soak.census import take_sample
from soak.driving import Driver, OperationFailed
from soak.plan import Instance, Operation

TOP = Path(__file__).parents[2]


def test_a_short_soak_is_clean(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    words = [
        "--nodes",
        "3",
        "--minutes",
        "0.1",
        "--instances",
        "3",
        "--operations",
        "7",
        "--seed",
        "4",
        "--history",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "soak", *words, str(history)],
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert run.stdout.startswith("Seed 4;")
    written = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    # For a moment there may be another one, which answers a call.
    assert all(line["found"]["ganeti-noded"][0] >= 3 for line in written if line["kind"] == "sample")
    lines = [line for line in written if line["kind"] != "sample"]
    assert len(lines) < len(written)
    assert {line["result"] for line in lines} == {"success"}
    # What was made was removed in the end.
    kinds = [line["kind"] for line in lines]
    assert kinds.count("create") == kinds.count("remove") >= 3
    last = run.stdout.splitlines()[-1]
    assert re.fullmatch(rf"Clean: .* \(seed 4, {len(lines)} operations in [\d.]+ minutes\)", last)


def test_what_is_not_as_it_is_to_be_ends_it(cluster: VirtualCluster, tmp_path: Path) -> None:
    anna = Instance("instance1", "sharedfile", 64)
    with (tmp_path / "history.jsonl").open("w+", encoding="utf-8") as history:
        driver = Driver(cluster, lanes=2, history=history)
        driver.do(Operation(1, "create", "instance1", ("node2",), anna))
        driver.do(Operation(2, "migrate", "instance1", ("node2", "node3"), anna))
        driver.drain()
        driver.check_all({"instance1": anna})
        unknown = Instance("instance2", "diskless", 64)
        driver.do(Operation(3, "stop", "instance2", (), unknown))
        with pytest.raises(OperationFailed, match=r"instance2\.vc"):
            driver.drain()
        cluster.instance("instance1").crash()
        driver.do(Operation(4, "tag", "instance1", (), attrs.evolve(anna, tags=frozenset({"red"}))))
        with pytest.raises(OperationFailed, match="status is 'ERROR_down', not 'running'") as failure:
            driver.drain()
        assert "2: migrate instance1 to node2 or node3" in str(failure.value)
        with pytest.raises(OperationFailed, match=r"instance1 is there, and is not to be"):
            driver.check_all({})
        history.seek(0)
        results = [json.loads(line)["result"] for line in history]
    assert results[:2] == ["success", "success"]
    assert "success" not in results[2:]


def test_a_sample_tells_what_runs_and_what_it_has_open(cluster: VirtualCluster) -> None:
    first = take_sample(cluster, 0.0, 0)
    found = {process.key: process for process in first.processes}
    assert {("ganeti-noded", f"node{number}") for number in (1, 2, 3)} <= found.keys()
    once = {("ganeti-luxid", "node1"), ("keeper", "1")}
    if cluster.parts.farm.has_fork_server:
        once.add(("fork-server", "1"))
    assert once <= found.keys()
    assert min(process.private for process in first.processes) > 100
    with open(TOP / "README.rst", encoding="utf-8"):  # noqa: PTH123 - to have it open
        second = take_sample(cluster, 1.0, 0)
    [ours, ours_later] = [
        next(one for one in sample.processes if one.name == "this program") for sample in (first, second)
    ]
    # By what they are: other threads of this process open and close files meanwhile.
    [readme] = [what for what in ours_later.descriptors if what.endswith("/README.rst")]
    assert ours_later.descriptors[readme] == ours.descriptors.get(readme, 0) + 1
    assert {one.key for one in second.processes} == found.keys()
