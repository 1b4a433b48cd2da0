"""Choosing an engine by what a spec needs."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.engines import choice
from pytest_ganeti_vcluster.engines.capabilities import CAPABILITIES, NETWORK
from pytest_ganeti_vcluster.engines.choice import choose_engine
from pytest_ganeti_vcluster.engines.namespaces.probe import Step, Trial
from pytest_ganeti_vcluster.engines.namespaces.trial import FORWARDING, NEEDED
from pytest_ganeti_vcluster.errors import EngineUnavailable

WHOLE = Trial((*map(Step, NEEDED), Step(FORWARDING)))
NO_FORWARDING = Trial((*map(Step, NEEDED), Step(FORWARDING, "Protocol not supported", "use another kernel")))
BROKEN = Trial((Step(NEEDED[0], "Operation not permitted", "ask the kernel nicely"),))


def test_without_needs_it_is_the_one_that_is_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "try_namespaces", lambda: BROKEN)
    assert choose_engine(None, "auto", set()) == "loopback"
    assert choose_engine("loopback", "namespaces", set()) == "loopback"


def test_what_a_spec_needs_chooses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "try_namespaces", lambda: WHOLE)
    for need in NETWORK:
        assert choose_engine(None, "auto", {need}) == "namespaces"
    for trial, reason in ((BROKEN, "not permitted"), (NO_FORWARDING, "Protocol not supported")):
        monkeypatch.setattr(choice, "try_namespaces", lambda trial=trial: trial)
        with pytest.raises(EngineUnavailable, match=reason) as caught:
            choose_engine(None, "auto", {"partition"})
        assert caught.value.cure
    # Nothing else depends on it.
    monkeypatch.setattr(choice, "try_namespaces", lambda: NO_FORWARDING)
    assert choose_engine("namespaces", "auto", set()) == "namespaces"


def test_an_engine_that_was_asked_for_is_not_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "try_namespaces", lambda: WHOLE)
    for wanted, option in (("loopback", "auto"), (None, "loopback")):
        with pytest.raises(EngineUnavailable, match="'loopback' cannot do: partition") as caught:
            choose_engine(wanted, option, {"partition"})
        assert "'namespaces'" in caught.value.cure


def test_what_nobody_has_is_named_with_what_there_is() -> None:
    with pytest.raises(EngineUnavailable, match="cannot do: time-travel") as caught:
        choose_engine(None, "auto", {"time-travel"})
    for known in frozenset().union(*CAPABILITIES.values()):
        assert known in caught.value.cure
