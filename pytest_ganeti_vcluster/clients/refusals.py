"""How Ganeti's daemons write an error: its class and its arguments."""

from __future__ import annotations

from typing import Any

import attrs

_PAIR = 2


@attrs.frozen
class Refusal:
    """An error of Ganeti's own: `kind` is its class (lib/errors.py), `details` are its arguments."""

    kind: str
    details: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {', '.join(map(str, self.details))}"


def read_refusal(result: Any) -> Refusal | None:
    """Decode an error as `errors.MaybeRaise` (lib/errors.py) would; None where it is not one of Ganeti's classes."""
    if not (isinstance(result, list) and len(result) == _PAIR and isinstance(result[0], str)):
        return None
    kind, details = result
    return Refusal(kind, tuple(details) if isinstance(details, list) else (details,))
