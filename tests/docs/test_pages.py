"""What pages name is there, and their examples run."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.inside.forking.wire import VARIABLE as FORK_SOCKET
from pytest_ganeti_vcluster.settings import OPTIONS
from tests.docs.pages import ALL_BLOCKS, EXAMPLES, PAGES, TOP, Block

FLAGS = frozenset(option.flag for option in OPTIONS)
VARIABLES = frozenset({*(option.variable for option in OPTIONS), FORK_SOCKET})
TEXTS = {str(page.relative_to(TOP)): page.read_text(encoding="utf-8") for page in PAGES}
every_page = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())


def _environments() -> frozenset[str]:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(TOP / "tox.ini", encoding="utf-8")
    return frozenset(name.partition(":")[2] for name in tox.sections() if name.startswith("testenv:"))


@every_page
def test_options_are_there(text: str) -> None:
    assert set(re.findall(r"--vcluster-[a-z][a-z-]*[a-z]", text)) <= FLAGS
    assert set(re.findall(r"\bVCLUSTER_[A-Z_]+\b", text)) <= VARIABLES


@every_page
def test_tox_environments_are_there(text: str) -> None:
    assert set(re.findall(r"tox run -e ([\w-]+)", text)) <= _environments()


@every_page
def test_subcommands_are_there_with_their_options(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for subcommand, rest in re.findall(
        r"ganeti-vcluster ([a-z][a-z-]*)((?: --?[a-z][\w.-]*(?: [\d.]+)?)*)", text
    ):
        assert main([subcommand, "--help"]) == 0, subcommand
        told = capsys.readouterr().out
        for flag in re.findall(r"--[a-z-]+", rest):
            assert flag in told, f"ganeti-vcluster {subcommand} {flag}"


@every_page
def test_files_that_are_linked_are_there(text: str) -> None:
    for target in re.findall(r"`[^`]+ <((?!http)[^>`]+)>`_", text):
        assert (TOP / target).is_file(), target


@every_page
def test_folders_of_this_project_are_there(text: str) -> None:
    for target in re.findall(
        r"``((?:docs|tests|pytest_ganeti_vcluster|changelog\.d)/(?!_build)[\w./]*)``", text
    ):
        assert (TOP / target).exists(), target


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)
def test_code_is_of_its_language(block: Block) -> None:
    if block.language == "python":
        ast.parse(block.code)
    elif block.language == "sh":
        done = subprocess.run(
            ["bash", "-n"], input=block.code, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
    else:
        assert block.language in {"console", "text"}


@pytest.mark.parametrize("text", [*TEXTS.values(), *(path.read_text(encoding="utf-8") for path in EXAMPLES)])
def test_modules_that_are_imported_have_the_names(text: str) -> None:
    for module, names in re.findall(r"from (pytest_ganeti_vcluster[\w.]*) import (\w+(?:, \w+)*)", text):
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_every_example_is_on_a_page() -> None:
    included = set(re.findall(r"literalinclude:: (?:\.\./)?examples/(\S+)", "".join(TEXTS.values())))
    assert included == {example.name for example in EXAMPLES}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, pytester: pytest.Pytester) -> None:
    shutil.copy(example, pytester.path)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", timeout=600)
    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed", "skipped"}, outcomes
    if not outcomes.get("passed"):
        pytest.skip("the example was skipped")
