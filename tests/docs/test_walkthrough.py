"""The commands of the walk through a cluster of one's own, run in their order."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.running.finding import running_clusters
from pytest_ganeti_vcluster.keeper.client import Keeper
from tests.cli.commands import PROGRAM
from tests.docs.pages import TOP, blocks

PAGE = TOP / "docs" / "howto" / "running.rst"

#: What is not the same on each machine, with each Ganeti and each engine, or the next time.
_VARYING = (
    (re.compile(r"/tmp/\S+"), "FOLDER"),
    (re.compile(r"Ganeti \d[\w.~]*( \([^)]*\))?"), "Ganeti VERSION"),
    (re.compile(r"\b3\.\d\.[\w.~]+"), "VERSION"),
    (re.compile(r"\b(loopback|namespaces)\b"), "ENGINE"),
    (re.compile(r"\d+:\d\d:\d\d"), "TIME"),
    (re.compile(r"\d+(\.\d+)+"), "NUMBERS"),
    (re.compile(r"\b\d{3,}\b"), "NUMBER"),
    (re.compile(r"[ \t]+"), " "),
)


@attrs.frozen
class Step:
    """A command of the page, and the lines that it prints according to that."""

    line: str
    shown: tuple[str, ...]


def steps() -> list[Step]:
    found: list[Step] = []
    for block in blocks(PAGE):
        if block.language != "console":
            continue
        for line in block.code.splitlines():
            if line.startswith("$ "):
                found.append(Step(line.removeprefix("$ "), ()))
            elif line.strip():
                found[-1] = attrs.evolve(found[-1], shown=(*found[-1].shown, line))
    return found


def plain(line: str) -> str:
    for pattern, name in _VARYING:
        line = pattern.sub(name, line)
    return line.strip()


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gvw-", dir="/tmp") as folder:
        yield Path(folder)
        for one in running_clusters(Path(folder)):
            Keeper.connect(one.root).stop()


@pytest.mark.slow
def test_commands_do_what_the_page_says(base: Path, tmp_path: Path) -> None:
    program = tmp_path / "ganeti-vcluster"
    quoted = " ".join(f"'{word}'" for word in PROGRAM)
    program.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    others = []
    for step in steps():
        result = subprocess.run(
            ["bash", "-c", step.line],
            env={**os.environ, "PATH": path, "VCLUSTER_ROOT": str(base)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert result.returncode == 0, f"{step.line}\n{result.stdout}{result.stderr}"
        printed = [plain(line) for line in result.stdout.splitlines() if line.strip()]
        # What the page does not show is not said to be printed, or not.
        if step.shown and printed != [plain(line) for line in step.shown]:
            others.append(f"{step.line}\n{result.stdout}")
    assert not others, "\n".join(others)


def test_no_step_is_lost() -> None:
    lines = [step.line for step in steps()]
    assert len(lines) == PAGE.read_text(encoding="utf-8").count("\n   $ ") - 1
    subcommands = {line.split("ganeti-vcluster ")[1].split()[0] for line in lines}
    assert {
        "up",
        "list",
        "exec",
        "shell",
        "status",
        "logs",
        "fault",
        "snapshot",
        "restore",
        "down",
        "gc",
    } <= subcommands
