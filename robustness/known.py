"""What Ganeti itself leaves wrong after faults: shown by its source, told, and no fault of the virtual cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from pytest_ganeti_vcluster.cluster.invariants.broken import Broken
from robustness.history import History


@attrs.frozen
class Kind:
    """A kind of finding: what invariant, texts that match `pattern`; and where Ganeti's source shows it."""

    invariant: str
    pattern: str
    reason: str
    upstream: str


@attrs.frozen
class Known:
    """Such a finding: `what` was seen, and `kind`."""

    what: str
    kind: Kind


KINDS: tuple[Kind, ...] = ()


def known_of(broken: Iterable[Broken], history: History) -> tuple[list[Known], list[Broken]]:
    """Part findings into those that are known to be Ganeti's, and others."""
    del history
    known, others = [], []
    for one in broken:
        kind = next(
            (kind for kind in KINDS if kind.invariant == one.invariant and re.search(kind.pattern, one.what)),
            None,
        )
        if kind is None:
            others.append(one)
        else:
            known.append(Known(one.what, kind))
    return known, others
