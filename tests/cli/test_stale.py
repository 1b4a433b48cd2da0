"""What `list`, `up` and others say of clusters whose keeper was killed, as after a crash of the machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.reap import Stale, stale_roots
from pytest_ganeti_vcluster.keeper.record import World
from tests.cli.keepers import kill, start


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gvs-", dir="/tmp") as folder:
        yield Path(folder)


def listed(base: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str | None]]:
    capsys.readouterr()
    assert main(["list", "--json", "--root", str(base)]) == 0
    return {one["name"]: (one["state"], one["reason"]) for one in json.loads(capsys.readouterr().out)}


def test_stale_ones_are_listed_until_they_are_reaped(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running, killed = start(base), start(base)
    try:
        child = killed.spawn(["sleep", "1000"], stdout=killed.root / "out").identity
        assert stale_roots(base) == []
        kill(killed)
        reason = f"its keeper (process {killed.identity.pid}) has died"
        assert stale_roots(base) == [Stale(killed.root, reason)]
        assert listed(base, capsys) == {killed.root.name: ("stale", reason)}
        assert main(["list", "--root", str(base)]) == 0
        told = capsys.readouterr().out
        assert told.startswith(f"No cluster runs below {base}.\n")
        assert f"stale, gc reaps it: {reason}" in told
        # Looking has ended nothing, and has kept nobody from it.
        assert child.is_alive()
        assert main(["exec", "--root", str(base), killed.root.name, "true"]) == 2
        told = capsys.readouterr().err
        assert f"does not run any more: {reason}" in told
        assert "`ganeti-vcluster gc` removes what is left of it" in told
        assert main(["gc", "--root", str(base), "--image-cache", "off"]) == 0
        assert not child.is_alive()
        assert listed(base, capsys) == {}
        assert running.run(["true"]).returncode == 0
    finally:
        running.stop()


def test_one_of_before_the_machine_was_started_is_stale(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = start(base)
    root = keeper.root
    record = keeper.record
    keeper.keep_root(True)
    keeper.stop()
    # Its folder, as a machine that goes down leaves it; the process id may well be somebody else's by now.
    assert record.world.boot == World.own().boot
    attrs.evolve(
        record,
        world=attrs.evolve(record.world, boot="another"),
        identity=ProcessIdentity.own(),
    ).write(root)
    assert listed(base, capsys) == {root.name: ("stale", "its keeper ran before this machine was started")}
    assert main(["gc", "--root", str(base), "--image-cache", "off"]) == 0
    assert not root.exists()


def test_kept_ones_are_listed_as_such(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = start(base)
    keeper.keep_root(True)
    keeper.stop()
    assert listed(base, capsys) == {keeper.root.name: ("kept", None)}
    assert main(["exec", "--root", str(base), keeper.root.name, "true"]) == 2
    assert "`ganeti-vcluster gc --kept` removes what is left of it" in capsys.readouterr().err
    assert main(["gc", "--kept", "--root", str(base), "--image-cache", "off"]) == 0
    assert listed(base, capsys) == {}
