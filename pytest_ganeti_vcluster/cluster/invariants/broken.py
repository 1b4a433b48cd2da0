"""What is wrong with a cluster."""

from __future__ import annotations

import attrs


@attrs.frozen
class Broken:
    """An invariant that does not hold: `invariant` is its name, `what` tells what was seen instead.

    The names are "verify", "jobs", "locks", "processes", "livelocks", "configuration", "ssconf" and "instances".
    """

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"
