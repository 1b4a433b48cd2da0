"""Choosing an engine."""

from __future__ import annotations

import socket
from collections.abc import Set as AbstractSet

from pytest_ganeti_vcluster.engines.base import Probe
from pytest_ganeti_vcluster.engines.capabilities import CAPABILITIES, NETWORK
from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.errors import EngineUnavailable


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
    """Return the name of the engine for a spec; `wanted` is the spec's, `option` the run's.

    "auto" is the first engine that has what the spec needs. Raises `EngineUnavailable` where it is not there, or lacks
    that.
    """
    name = wanted or option
    if name == "auto":
        name = next((one for one, has in CAPABILITIES.items() if has.issuperset(needs)), "loopback")
    if name not in CAPABILITIES:
        raise EngineUnavailable(
            f"engine {name!r} is not in this version", cure='use engine "loopback", or "auto"'
        )
    lacking = set(needs) - CAPABILITIES[name]
    if lacking:
        raise EngineUnavailable(
            f"engine {name!r} cannot do: {', '.join(sorted(lacking))}", cure=_cure_for(lacking, needs)
        )
    found = try_namespaces().network_faults if NETWORK & needs else probe_engine(name)
    if not found.available:
        raise EngineUnavailable(f"engine {name!r}: {found.reason}", cure=found.cure)
    return name


def _cure_for(lacking: AbstractSet[str], needs: AbstractSet[str]) -> str:
    """Say what to do where an engine lacks something that a spec needs."""
    able = [name for name, has in CAPABILITIES.items() if has.issuperset(needs)]
    if able:
        return f"use engine {able[0]!r}, or choose none"
    known = sorted(frozenset().union(*CAPABILITIES.values()))
    unknown = sorted(set(lacking).difference(known))
    if unknown:
        return f"leave {', '.join(unknown)} out of `needs`; there are {', '.join(known)}"
    return "leave `needs` out of the spec: no engine has all of it"
