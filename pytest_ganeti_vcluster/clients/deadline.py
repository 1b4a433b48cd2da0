"""How long something may take, as a point on the monotonic clock."""

from __future__ import annotations

import time

import attrs


@attrs.frozen
class Deadline:
    """A point in time that is not to be passed; without one (`at=None`) there is no end."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Give the deadline `seconds` from now; `None` is never."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    def passed(self) -> bool:
        """Say whether the time is up."""
        return self.at is not None and time.monotonic() >= self.at

    def remaining(self, at_most: float) -> float:
        """Give the seconds left, never negative, never more than `at_most`."""
        if self.at is None:
            return at_most
        return max(0.0, min(self.at - time.monotonic(), at_most))
