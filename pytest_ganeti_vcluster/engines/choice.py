"""Choosing an engine."""

from __future__ import annotations

import socket
from collections.abc import Set as AbstractSet

from pytest_ganeti_vcluster.engines.base import Probe
from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.errors import EngineUnavailable

#: What tests may need of each engine.
CAPABILITIES: dict[str, frozenset[str]] = {
    "loopback": frozenset({"freeze"}),
    "namespaces": frozenset({"freeze"}),
}


def probe_loopback() -> Probe:
    """Tell whether any address of 127.0.0.0/8 can be bound here, by doing it."""
    with socket.socket() as trial:
        try:
            trial.bind(("127.127.127.127", 0))
        except OSError as error:
            return Probe(
                available=False,
                reason=f"127.127.127.127 cannot be bound: {error}",
                cure="run on Linux, with a loopback interface that is up",
            )
    return Probe(available=True, reason="works everywhere on Linux")


def probe_engine(name: str) -> Probe:
    """Tell whether an engine can work here, by trying."""
    return probe_loopback() if name == "loopback" else try_namespaces().probe


def choose_engine(wanted: str | None, option: str, needs: AbstractSet[str]) -> str:
    """Return the name of the engine for a spec; `wanted` is the spec's, `option` the run's ("auto" to choose).

    Raises `EngineUnavailable` where it is not there, or lacks what the spec needs.
    """
    name = wanted or ("loopback" if option == "auto" else option)
    if name not in CAPABILITIES:
        raise EngineUnavailable(
            f"engine {name!r} is not in this version", cure='use engine "loopback", or "auto"'
        )
    lacking = sorted(set(needs) - CAPABILITIES[name])
    if lacking:
        raise EngineUnavailable(
            f"engine {name!r} cannot do: {', '.join(lacking)}",
            cure="leave `needs` out of the spec, or run where an engine can",
        )
    found = probe_engine(name)
    if not found.available:
        raise EngineUnavailable(f"engine {name!r}: {found.reason}", cure=found.cure)
    return name
