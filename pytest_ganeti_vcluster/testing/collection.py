"""At collection: the spec of every test's cluster, checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.choice import choose_engine
from pytest_ganeti_vcluster.errors import EngineUnavailable, GanetiNotFound, SpecError
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.ganeti.unmodified import check_unmodified
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import ordering, state, versions

_SPEC: pytest.StashKey[ClusterSpec] = pytest.StashKey()
_DEFAULT_SPECS: pytest.StashKey[dict[str | None, ClusterSpec]] = pytest.StashKey()


def default_spec(config: pytest.Config, ganeti: str | None = None) -> ClusterSpec:
    """Return the spec of a cluster of `vcluster_session`, perhaps of a certain Ganeti, as plugins want it."""
    known = config.stash.setdefault(_DEFAULT_SPECS, {})
    if ganeti not in known:
        keywords = _changed(config, {}, "vcluster_session", ganeti)
        known[ganeti] = ClusterSpec.from_keywords(keywords)
    return known[ganeti]


def factory_spec(config: pytest.Config, keywords: dict[str, Any], ganeti: str | None = None) -> ClusterSpec:
    """Return the spec of the factory's keywords. Raises `SpecError`."""
    return ClusterSpec.from_keywords(_changed(config, keywords, "vcluster_factory", ganeti))


def spec_of(item: pytest.Item, settings: Settings) -> ClusterSpec:
    """Return the spec of a test's cluster: its markers' keywords, closest first. Raises `SpecError`."""
    spec = item.stash.get(_SPEC, None)
    if spec is None:
        keywords = {**_defaults(settings, versions.chosen_for(item)), **_marker_keywords(item)}
        item.ihook.pytest_vcluster_spec(config=item.config, item=item, fixture="vcluster", keywords=keywords)
        spec = item.stash[_SPEC] = ClusterSpec.from_keywords(keywords)
    return spec


def check(session: pytest.Session, settings: Settings, items: list[pytest.Item]) -> None:
    """Raise `pytest.UsageError` for impossible markers; mark what cannot run here as skipped, with the reason.

    Then bring the tests in their order.
    """
    _drop_repeated(session, settings, items)
    reasons = SkipReasons(settings)
    wanted: set[str | None] = set()
    problems: list[tuple[pytest.Item, SpecError]] = []
    for item in items:
        if not state.asks_for_cluster(item):
            continue
        try:
            spec = spec_of(item, settings)
        except SpecError as error:
            problems.append((item, error))
            continue
        wanted.update(one.ganeti for one in _specs(item, spec))
        if "vcluster_factory" in state.fixture_names(item):
            wanted.add(versions.chosen_for(item))
        reason = reasons.of_test(item, spec)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
    if problems:
        _refuse(session, items, problems)
    # Those of the options in their order, then those of markers.
    known = [one for one in versions.asked_for(settings) if one in wanted]
    session.config.stash[state.GANETIS] = (
        *known,
        *sorted(one for one in wanted - {*known} if one is not None),
    )
    if settings.order == "spec":
        items[:] = ordering.by_spec(
            items, lambda item: spec_of(item, settings) if "vcluster" in state.fixture_names(item) else None
        )


class SkipReasons:
    """Why clusters cannot be had in this run; each distinct question is answered once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engines: dict[tuple[str | None, frozenset[str], str | None], str] = {}

    def of_test(self, item: pytest.Item, spec: ClusterSpec) -> str:
        """Return why a test cannot run, empty where it can."""
        names = state.fixture_names(item)
        if names and state.is_replayed(item):
            others = ", ".join(sorted(names))
            return f"uses {others} beside vcluster_rapi, and with --vcluster-rapi=replay there is no cluster"
        specs = _specs(item, spec)
        return next((reason for reason in map(self.of_spec, specs) if reason), "")

    def of_spec(self, spec: ClusterSpec) -> str:
        """Return why a cluster of a spec is not built in this run, empty where it is."""
        most = self._settings.max_nodes
        if most is not None and len(spec.nodes) > most:
            return f"asks for {len(spec.nodes)} nodes, and --vcluster-max-nodes allows {most}"
        question = (spec.engine, spec.needs, spec.ganeti)
        if question not in self._engines:
            self._engines[question] = self._engine_reason(spec)
        return self._engines[question]

    def _engine_reason(self, spec: ClusterSpec) -> str:
        try:
            name = choose_engine(spec.engine, self._settings.engine, spec.needs)
            if name == "namespaces" and spec.needs:
                check_unmodified(find_installation(self._settings, spec.ganeti))
        except EngineUnavailable as error:
            return f"{error.message}; {error.cure}" if error.cure else error.message
        except GanetiNotFound:
            # Is told where it is wanted.
            return ""
        return ""


def _specs(item: pytest.Item, spec: ClusterSpec) -> list[ClusterSpec]:
    """Return the specs of the clusters that a test is known to take; `spec` is its own."""
    names = state.fixture_names(item)
    specs = [spec] if "vcluster" in names else []
    if "vcluster_session" in names:
        specs.append(default_spec(item.config, versions.chosen_for(item)))
    return specs


def _drop_repeated(session: pytest.Session, settings: Settings, items: list[pytest.Item]) -> None:
    repeated = [item for item in items if versions.is_repeated(item, settings)]
    if repeated:
        session.config.hook.pytest_deselected(items=repeated)
        items[:] = [item for item in items if item not in repeated]


def _defaults(settings: Settings, ganeti: str | None) -> dict[str, Any]:
    return {"nodes": settings.nodes, "ganeti": ganeti}


def _changed(
    config: pytest.Config, given: dict[str, Any], fixture: str, ganeti: str | None
) -> dict[str, Any]:
    """Return the keywords of a cluster that is no single test's, as plugins want them."""
    keywords = {**_defaults(config.stash[state.SETTINGS], ganeti), **given}
    config.hook.pytest_vcluster_spec(config=config, item=None, fixture=fixture, keywords=keywords)
    return keywords


def _marker_keywords(item: pytest.Item) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    for mark in item.iter_markers(state.MARKER):
        if mark.args:
            raise SpecError(
                f"marker vcluster takes keywords only, not {', '.join(map(repr, mark.args))}",
                cure="write it as in @pytest.mark.vcluster(nodes=3)",
            )
        for name, value in mark.kwargs.items():
            keywords.setdefault(name, value)
    return keywords


def _refuse(
    session: pytest.Session, items: list[pytest.Item], problems: Sequence[tuple[pytest.Item, SpecError]]
) -> None:
    messages = [f"{item.nodeid}: {error}" for item, error in problems]
    if not hasattr(session.config, "workerinput"):
        raise pytest.UsageError("\n".join(messages))
    # An exception here would look to pytest-xdist like a worker that crashed, and another one would be started
    # in its place, and so on. So workers collect nothing, and say why.
    for (item, _error), message in zip(problems, messages):
        report = pytest.CollectReport(nodeid=item.nodeid, outcome="failed", longrepr=message, result=[])
        session.config.hook.pytest_collectreport(report=report)
    items.clear()
