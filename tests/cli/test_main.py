from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from pytest_ganeti_vcluster import cli
from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.errors import MachineError, SpecError

RUN = [sys.executable, "-c", "import sys; from pytest_ganeti_vcluster.cli import main; sys.exit(main())"]


def test_help_lists_every_module_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    modules = [path.stem for path in Path(cli.__file__).parent.glob("[!_]*.py")]
    assert {"doctor", "install"} <= set(modules)
    for module in modules:
        assert f"  {module.replace('_', '-')} " in text
    assert "Tell what is missing on this machine, and the cure" in text


def test_help_imports_no_subcommand() -> None:
    code = (
        "import sys; from pytest_ganeti_vcluster.cli import main; main(['--help'])\n"
        "print([name for name in ('rich', 'psutil', 'filelock', 'pytest_ganeti_vcluster.cli.doctor')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["no-such"], ["doctor", "--no-such"], ["doctor", "--nodes", "x"]])
def test_a_wrong_request_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["doctor", "--nodes", "x"], "Error: --nodes: 'x'"),
        (["up", "--ganeti", "3.0,3.1"], "Error: --ganeti: '3.0,3.1' is more than one"),
    ],
)
def test_options_are_named_as_they_were_given(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_help_of_faults_has_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fault", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "..." not in text.partition("Commands:")[2]
    assert (
        "corrupt Damage a file of a node, given by its path there, such as /var/lib/ganeti/server.pem."
        in text
    )


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [
        (MachineError("It broke", seen="a log line", cure="mend it"), 1, "What to do: mend it"),
        (SpecError("No such", cure="say else"), 2, "say else"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_errors_are_told_with_their_cure_and_without_a_traceback(
    raised: BaseException,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise raised

    from pytest_ganeti_vcluster.cli import doctor

    monkeypatch.setattr(doctor, "command", click.Command("doctor", callback=fail))
    assert main(["doctor"]) == status
    seen = capsys.readouterr().err
    assert told in seen
    assert "Traceback" not in seen


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with subprocess.Popen([*RUN, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        seen = process.stderr.read()
    assert b"Traceback" not in seen
