from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.errors import AdaptationFailed
from pytest_ganeti_vcluster.ganeti.adaptation_check import check_adaptations
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, installation_at
from pytest_ganeti_vcluster.inside.adaptations import ADAPTATIONS
from tests.ganeti.conftest import MakePrefix


def test_all_adaptations_fit_the_ganeti_of_this_run(real: GanetiInstallation) -> None:
    assert check_adaptations(real) == len(ADAPTATIONS)


def test_what_does_not_fit_is_named(tmp_path: Path, make_prefix: MakePrefix) -> None:
    prefix = make_prefix(tmp_path / "g")
    constants = next(prefix.glob("usr/share/ganeti/*/ganeti/utils/process.py"))
    text = constants.read_text(encoding="utf-8")
    assert "def _BuildCmdEnvironment(" in text
    constants.write_text(text.replace("_BuildCmdEnvironment", "_BuildAnother"), encoding="utf-8")
    with pytest.raises(AdaptationFailed, match="cannot be adapted to virtual nodes") as caught:
        check_adaptations(installation_at(prefix, "test"))
    assert "has no _BuildCmdEnvironment" in caught.value.seen


def test_install_says_so_of_what_is_there(
    real: GanetiInstallation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VCLUSTER_GANETI", str(real.prefix) if real.prefix != Path("/") else "system")
    assert main(["install", "--if-missing"]) == 0
    told = capsys.readouterr().out
    assert f"{real.prefix} will do" in told
    assert f"All {len(ADAPTATIONS)} adaptations to virtual nodes fit Ganeti {real.version}." in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["3.x"], "'3.x' is no version"), (["3.0", "3.1", "--dest", "/nowhere"], "--dest is for one version")],
)
def test_a_wrong_request_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", *arguments]) == 2
    assert told in capsys.readouterr().err
