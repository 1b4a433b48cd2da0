"""The probe of the engine with namespaces does what the engine does, and says what stands in its way."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cli import _checks
from pytest_ganeti_vcluster.cli._checks import FAIL, OK, WARN
from pytest_ganeti_vcluster.engines.namespaces import probe
from pytest_ganeti_vcluster.engines.namespaces.probe import Step, Trial, carry_out, read_settings
from pytest_ganeti_vcluster.engines.namespaces.trial import FORWARDING, NEEDED, OPTIONAL
from pytest_ganeti_vcluster.settings import Settings

TRIAL = "pytest_ganeti_vcluster.engines.namespaces.trial"


def mounts() -> str:
    return Path("/proc/self/mounts").read_text(encoding="utf-8")


def test_every_step_is_tried_up_to_the_first_that_fails() -> None:
    before = mounts(), os.uname().nodename, sorted(os.listdir("/sys/class/net"))  # noqa: PTH208
    trial = carry_out()
    assert (mounts(), os.uname().nodename, sorted(os.listdir("/sys/class/net"))) == before  # noqa: PTH208
    names = [step.name for step in trial.steps]
    if trial.obstacle is None:
        assert names == [*NEEDED, *OPTIONAL]
        assert trial.probe.available
    else:
        assert names == [*NEEDED[: len(names)]]
        assert trial.steps[-1] == trial.obstacle
        assert not trial.probe.available
        assert trial.probe.cure
    assert all(bool(step.cure) == bool(step.error) for step in trial.steps)


def test_where_no_namespace_is_left_that_is_said() -> None:
    if shutil.which("unshare") is None or carry_out().obstacle is not None:
        pytest.skip("user namespaces are needed to forbid them")
    # A limit of our own, for what is below us.
    script = f'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -S -m {TRIAL}'
    trial = carry_out(["unshare", "--user", "--map-root-user", "sh", "-c", script, sys.executable])
    assert [step.name for step in trial.steps] == ["user namespace"]
    assert "No space left" in trial.probe.reason
    assert "max_*_namespaces" in trial.probe.cure


def test_a_step_that_hangs_is_named_and_ended() -> None:
    line = json.dumps({"step": NEEDED[0], "error": ""})
    script = f"import sys, time; print({line!r}, flush=True); time.sleep(600)"
    began = time.monotonic()
    trial = carry_out([sys.executable, "-c", script], timeout=1.0)
    assert time.monotonic() - began < 60
    assert [(step.name, bool(step.error)) for step in trial.steps] == [(NEEDED[0], False), (NEEDED[1], True)]
    assert "has not ended within 1 s" in trial.probe.reason


def test_a_step_that_dies_is_named_with_its_last_words() -> None:
    trial = carry_out([sys.executable, "-c", "import sys; sys.exit('no such thing')"])
    assert trial.probe.reason == f"{NEEDED[0]}: no such thing"


def test_nothing_to_run_is_an_answer_too(tmp_path: Path) -> None:
    trial = carry_out([str(tmp_path / "python")])
    assert trial.obstacle is not None
    assert "No such file" in trial.probe.reason


def test_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = carry_out().probe
    assert not found.available
    assert found.cure == "run as an ordinary user"


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "restrict_unprivileged_userns=0, or give"),
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
        ("user/max_user_namespaces", "9999", "seccomp=unconfined"),
    ],
)
def test_the_cure_is_in_the_setting_that_forbids_it(name: str, value: str, cure: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(f"{value}\n", encoding="ascii")
    settings = read_settings(tmp_path)
    assert settings == {name: value}
    assert cure in probe.cure_of("user namespace", "Operation not permitted", settings)


def test_the_doctor_tells_it_and_fails_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Trial((Step("user namespace", "Operation not permitted", "ask the kernel nicely"),))
    for trial, engine, verdict in (
        (broken, "auto", WARN),
        (broken, "namespaces", FAIL),
        (Trial(tuple(map(Step, NEEDED))), "namespaces", OK),
    ):
        monkeypatch.setattr(_checks, "try_namespaces", lambda trial=trial: trial)
        found, *_faults = _checks.check_namespaces(Settings.read(flags={"engine": engine}))
        assert (found.subject, found.verdict) == ("engine namespaces", verdict)
        assert found.seen.startswith(trial.probe.reason)
        assert found.cure == trial.probe.cure


def test_the_doctor_tells_whether_there_are_faults_in_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = tuple(map(Step, NEEDED))
    for step, verdict, seen in (
        (Step(FORWARDING), OK, "networks can be cut and made bad"),
        (Step(FORWARDING, "Not supported", "use another kernel"), WARN, f"{FORWARDING}: Not supported"),
    ):
        monkeypatch.setattr(_checks, "try_namespaces", lambda step=step: Trial((*needed, step)))
        engine, faults = _checks.check_namespaces(Settings.read())
        assert engine.verdict == OK
        assert (faults.verdict, faults.seen, faults.cure) == (verdict, seen, step.cure)
