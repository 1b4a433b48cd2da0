"""The command `scale run`, as far as it starts nothing; tests/live/test_scale.py has the rest."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from pytest_ganeti_vcluster.cli import _scale_run, main
from pytest_ganeti_vcluster.cli._amounts import duration, numbers, size, words
from pytest_ganeti_vcluster.errors import ExtraMissing
from tests.scale.made import whole


def test_amounts() -> None:
    assert numbers("5,20, 100") == (5, 20, 100)
    assert words("") == ()
    assert words("verify, queue") == ("verify", "queue")
    assert [duration(text) for text in ("90", "90s", "1.5m", "2h")] == [90, 90, 90, 7200]
    assert [size(text) for text in ("100", "1K", "1.5M", "8G", "8GiB")] == [
        100,
        1024,
        3 << 19,
        8 << 30,
        8 << 30,
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--nodes", "two"], "'two' is not whole numbers"),
        (["--nodes", "3,2"], "nodes: 2 comes after 3"),
        (["--nodes", "3,2000"], "nodes: 2000 is not possible"),
        (["--nodes", ""], "is not whole numbers"),
        (["--instances", "5,-1"], "instances: -1 is not possible"),
        (["--repeat", "0"], "0 is not in the range"),
        (["--time-limit", "soon"], "'soon' is no time"),
        (["--time-limit", "0s"], "'0s' is no time"),
        (["--memory-limit", "8X"], "'8X' is no size"),
        (["--probes", "nope"], "there is no probe 'nope'"),
        (["--join", "fast"], "'fast'"),
        (["--daemons", "sshd"], "sshd"),
        (["--output", "missing/a.json"], "there is no folder"),
        (["--output", "a.txt"], "does not end in .json"),
        (["--resume", "--output", "a.json"], "there is no a.json to go on with"),
    ],
)
def test_bad_input_is_one_error_before_anything_is_started(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scale", "run", *arguments]) == 2
    seen = capsys.readouterr()
    assert told in seen.err
    assert seen.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_pool_that_is_too_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a.json"
    arguments = ["--nodes", "2,500", "--subnet", "127.64.0.0/24", "--output", str(output)]
    assert main(["scale", "run", *arguments]) == 1
    assert "500 nodes have no room in the pool 127.64.0.0/24" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    assert main(["scale", "run", "--output", str(folder / "a.json")]) == 2
    assert "nothing can be written into" in capsys.readouterr().err


def test_a_file_that_has_other_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a.json"
    arguments = ["scale", "run", "--nodes", "2", "--instances", "0", "--output", str(output)]
    # Nothing fits: the file is begun, and that is all.
    assert main([*arguments, "--memory-limit", "1M"]) == 0
    seen = capsys.readouterr()
    assert "Stopped: a cluster of 2 nodes with 0 instances is estimated to take" in seen.err
    assert "0 points are in" in seen.err
    before = output.read_text(encoding="utf-8")
    assert main([*arguments, "--repeat", "7"]) == 2
    assert "repeat: 3 there, 7 now" in capsys.readouterr().err
    other = json.loads(before)
    other["ganeti"] = "2.16.2"
    output.write_text(json.dumps(other), encoding="utf-8")
    assert main([*arguments, "--resume"]) == 2
    assert "ganeti: '2.16.2' there" in capsys.readouterr().err
    output.write_text(before[:100], encoding="utf-8")
    assert main(arguments) == 2
    assert "not all of it is there" in capsys.readouterr().err
    assert output.read_text(encoding="utf-8") == before[:100]


def test_without_the_extra_the_end_of_a_sweep_tells_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_sweep: object) -> None:
        raise ExtraMissing("no plotly", cure="pip install 'pytest-ganeti-vcluster[scale]'")

    monkeypatch.setattr(_scale_run, "sweep_page", missing)
    out = io.StringIO()
    sweeping: Any = SimpleNamespace(sweep=whole(), path=tmp_path / "results.json")
    _scale_run.show(sweeping, Console(file=out, width=400))
    assert "A page with plots: pip install 'pytest-ganeti-vcluster[scale]'; " in out.getvalue()
