"""Which Ganeti tests run on where several were asked for: each test on each of them, unless its marker names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import state

#: The fixture that all of ours depend on, and that is parametrized; its value is one of `Settings.ganeti`, or None.
PARAMETER = "_vcluster_ganeti"


def parametrize(metafunc: pytest.Metafunc, settings: Settings) -> None:
    """Have a test that uses clusters run on each Ganeti asked for; with one only, tests are what they ever are.

    The scope is the session: pytest then brings together what runs on the same, and clusters of fixtures of session
    scope are there for one version after the other.
    """
    if len(settings.ganeti) < 2 or PARAMETER not in metafunc.fixturenames:  # noqa: PLR2004
        return
    if named_by_marker(metafunc.definition) is None:
        ids = [f"ganeti-{_id(asked)}" for asked in settings.ganeti]
        metafunc.parametrize(PARAMETER, settings.ganeti, ids=ids, indirect=True, scope="session")


def named_by_marker(item: pytest.Item) -> str | None:
    """Return the Ganeti that a test's closest marker names; None where none does."""
    return next(
        (mark.kwargs["ganeti"] for mark in item.iter_markers(state.MARKER) if "ganeti" in mark.kwargs), None
    )


def chosen_for(item: pytest.Item) -> str | None:
    """Return the Ganeti that a test was parametrized with; None where it was not."""
    callspec = getattr(item, "callspec", None)
    chosen: str | None = None if callspec is None else callspec.params.get(PARAMETER)
    return chosen


def is_repeated(item: pytest.Item, settings: Settings) -> bool:
    """Tell whether a test is a second one of the same: parametrized, and a parameter of its own names its Ganeti.

    The marks of `pytest.param` are known only when all parameters are.
    """
    chosen, named = chosen_for(item), named_by_marker(item)
    if chosen is None or named is None:
        return False
    return chosen != (named if named in settings.ganeti else settings.ganeti[0])


def asked_for(settings: Settings) -> tuple[str | None, ...]:
    """Return what tests run on of which nothing is said: None stands for what the options, or nobody, say."""
    return settings.ganeti if len(settings.ganeti) > 1 else (None,)


def _id(asked: str) -> str:
    return Path(asked).name or asked
