"""Clusters that are started, used and taken down from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
from pytest_ganeti_vcluster.cluster.running.finding import running_clusters
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.leftovers import find_leftovers
from tests.cli.commands import folder_of_clusters, run_command


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder with one cluster in it, called dev."""
    with folder_of_clusters("gvu-") as base:
        up = run_command(base, "up", "--nodes", "2")
        assert up.returncode == 0, up.stderr
        assert "dev: Ganeti " in up.stdout
        yield base


def _listed(base: Path) -> list[dict[str, object]]:
    listed = run_command(base, "list", "--json")
    assert listed.returncode == 0, listed.stderr
    found: list[dict[str, object]] = json.loads(listed.stdout)
    return found


def test_it_stays_and_is_listed(base: Path) -> None:
    (one,) = _listed(base)
    assert (one["name"], one["nodes"], one["stays"]) == ("dev", 2, True)
    table = run_command(base, "list").stdout.splitlines()
    assert table[0].split() == ["name", "nodes", "Ganeti", "engine", "runs", "for", "until", "folder"]
    assert table[1].split()[:2] == ["dev", "2"]


def test_a_command_runs_on_the_master_or_on_a_node(base: Path) -> None:
    nodes = run_command(base, "exec", "dev", "gnt-node", "list", "--no-headers", "-o", "name,role")
    assert nodes.stdout.split() == ["node1.vc", "M", "node2.vc", "C"]
    assert nodes.returncode == 0
    assert run_command(base, "exec", "dev", "hostname").stdout == "node1.vc\n"
    for node in ("node2", "node2.vc"):
        assert run_command(base, "exec", "--node", node, "dev", "hostname").stdout == "node2.vc\n"
    # By its folder, too.
    (one,) = _listed(base)
    assert run_command(base, "exec", Path(str(one["root"])).name, "hostname").stdout == "node1.vc\n"


def test_the_status_of_the_command_is_ours(base: Path) -> None:
    assert run_command(base, "exec", "dev", "sh", "-c", "exit 7").returncode == 7
    wrong = run_command(base, "exec", "dev", "gnt-node", "remove", "node9.vc")
    assert wrong.returncode == 1
    assert "node9.vc" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("up",), ["a cluster called 'dev' runs already", "ganeti-vcluster down dev"]),
        (("up", "--name", "Not.A.Name"), ["host name of small letters"]),
        (("up", "--name", "other", "--disk-templates", "drbd"), ["drbd"]),
        (("exec", "other", "true"), ["no cluster 'other' runs", "running: dev ("]),
        (("exec", "--node", "node7", "dev", "true"), ["dev has no node 'node7'", "node1.vc, node2.vc"]),
        (("exec", "dev"), ["COMMAND..."]),
        (("exec", "dev", "--node", "node2", "true"), ["ganeti-vcluster exec --node ... dev COMMAND"]),
        (("exec", "--nod", "node2", "dev", "true"), ["--nod"]),
        (("down",), ["--all"]),
        (("down", "dev", "--all"), ["--all"]),
        (("down", "dev", "other"), ["no cluster 'other' runs"]),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    base: Path, arguments: tuple[str, ...], told: list[str]
) -> None:
    before = [one.root for one in running_clusters(base)]
    done = run_command(base, *arguments)
    assert done.returncode == 2
    for text in told:
        assert text in done.stderr
    assert [one.root for one in running_clusters(base)] == before
    assert [entry for entry in base.iterdir() if entry.is_dir()] == before


def test_down_leaves_nothing(base: Path) -> None:
    (one,) = running_clusters(base)
    record = Keeper.connect(one.root)
    token = record.record.token
    known = [record.identity, *(process.identity for process in record.processes())]
    record.close()
    down = run_command(base, "down", "dev")
    assert (down.returncode, down.stdout) == (0, f"dev: down, {one.root} is removed\n")
    assert not find_leftovers(one.root, token=token, known=known, claims=[])
    assert _listed(base) == []
    assert run_command(base, "list").stdout == f"No cluster runs below {base}.\n"
    assert run_command(base, "down", "--all").returncode == 0


def test_two_of_a_name_are_told_apart_by_their_folders(base: Path) -> None:
    # Only a test run's, which all have the same name, or a copy of a home directory, can bring this about.
    assert run_command(base, "up", "--name", "first", "--nodes", "1").returncode == 0
    assert run_command(base, "up", "--name", "second", "--nodes", "1").returncode == 0
    first, second = running_clusters(base)
    with attach_cluster(second.root) as handle:
        assert handle.name == "second.vc"
    text = (second.root / "cluster.json").read_text(encoding="utf-8")
    (second.root / "cluster.json").write_text(
        text.replace('"name": "second"', '"name": "first"'), encoding="utf-8"
    )
    asked = run_command(base, "exec", "first", "true")
    assert asked.returncode == 2
    assert "2 clusters are called 'first'" in asked.stderr
    assert first.root.name in asked.stderr
    assert run_command(base, "exec", second.root.name, "hostname").stdout == "node1.vc\n"
    assert run_command(base, "down", "--all").returncode == 0
    assert running_clusters(base) == []
