"""How an installation tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Whoever shows progress: `step` begins a piece of work, `fraction` (0 to 1) is what is done of it."""

    def step(self, text: str) -> None:
        """Begin a piece of work."""

    def fraction(self, done: float) -> None:
        """Tell how much of the piece of work is done."""


class Silence:
    """A report that nobody reads."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def fraction(self, done: float) -> None:
        """Say nothing."""
