"""Numbers, times and sizes as people give them to commands: types of options."""

from __future__ import annotations

import re

import click

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(?:iB|B)?")


def numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between. Raises `click.BadParameter`."""
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not whole numbers with commas between, such as 5,20,50"
        ) from None


def words(text: str) -> tuple[str, ...]:
    """Read words with commas between; nothing is none."""
    return tuple(one.strip() for one in text.split(",") if one.strip())


def duration(text: str) -> float:
    """Read a time such as 90, 90s, 30m or 2h: seconds. Raises `click.BadParameter`."""
    found = _TIME.fullmatch(text)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{text!r} is no time of more than 0, such as 90s, 30m or 2h")
    return float(found[1]) * _SECONDS[found[2]]


def size(text: str) -> int:
    """Read a size such as 512M or 8G: bytes. Raises `click.BadParameter`."""
    found = _SIZE.fullmatch(text)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{text!r} is no size of more than 0, such as 512M or 8G")
    return int(float(found[1]) * _BYTES[found[2]])
