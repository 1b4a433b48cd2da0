"""Values that a user gives to a fault, checked before anything is done."""

from __future__ import annotations

import math
from typing import Any

from pytest_ganeti_vcluster.errors import UserError


def check_count(name: str, value: Any, *, least: int) -> None:
    """Raise `UserError` for what is not a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} is {value!r}", cure=f"give a whole number from {least}")


def check_seconds(name: str, value: Any, *, negative: bool = False) -> None:
    """Raise `UserError` for what is not a time in seconds, of more than 0 or, with `negative`, of less as well."""
    wrong = not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value)
    if wrong or not value or (value < 0 and not negative):
        how = "other than 0" if negative else "of more than 0"
        raise UserError(f"{name} is {value!r}", cure=f"give seconds, a number {how}")


def check_text(name: str, value: Any) -> None:
    """Raise `UserError` for what is not a text, or empty."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{name} is {value!r}", cure="give a text that is not empty")
