"""What a run that uses clusters says of them at its start."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ganeti_vcluster.engines.choice import choose_engine, probe_engine
from pytest_ganeti_vcluster.errors import EngineUnavailable, GanetiNotFound
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing.limits import Limit


def header(
    settings: Settings,
    *,
    verbose: bool = False,
    is_shared: bool = False,
    ganetis: Sequence[str | None] = (None,),
) -> list[str]:
    """Return lines with every Ganeti of a run and its origin, the engine, why it was chosen, and where addresses are.

    `ganetis` are as specs have them; None is the one that the options choose.

    If `verbose`, also how many clusters a process keeps, and why; if `is_shared`, that fixture `vcluster_session` is
    one for all workers. Finding a Ganeti starts one process; call it only in runs that use a cluster.
    """
    # Two ways to ask for it may come to the same.
    first, *others = dict.fromkeys(_ganeti(settings, wanted) for wanted in ganetis or (None,))
    lines = [f"vcluster: {first}; engine {_engine(settings)}; addresses of {settings.subnet}"]
    lines += [f"vcluster: also {other}" for other in others]
    if verbose:
        lines.append(f"vcluster: {Limit.of_this_machine(settings)}")
    if is_shared:
        lines.append("vcluster: vcluster_session is one cluster for all workers of this run on a host")
    return lines


def _ganeti(settings: Settings, wanted: str | None) -> str:
    try:
        found = find_installation(settings, wanted)
    except GanetiNotFound as error:
        becomes = {"fail": "fail", "skip": "are skipped"}[settings.missing]
        return f"{error.message.split('; looked at')[0]} (tests that ask for one {becomes}; {error.cure})"
    return f"{found} in {found.prefix}"


def _engine(settings: Settings) -> str:
    try:
        name = choose_engine(None, settings.engine, frozenset())
    except EngineUnavailable as error:
        return f"not there: {error.message}"
    why = probe_engine(name).reason
    return f"{name} ({'chosen' if settings.engine == 'auto' else 'asked for'}{': ' + why if why else ''})"
