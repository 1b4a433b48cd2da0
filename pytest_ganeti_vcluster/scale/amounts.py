"""Figures for people: three digits and the unit that fits."""

from __future__ import annotations

_BINARY = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))

#: What axes and headings call the units.
UNIT_NAMES = {"s": "seconds", "B": "bytes", "1": "number", "1/s": "per second"}

#: Kinds of quantities, in words.
KIND_NAMES = {
    "wall": "time",
    "until quiet": "time until quiet",
    "stage": "time of stages",
    "cpu": "CPU time",
    "memory": "memory (PSS)",
    "private": "private memory",
    "processes": "processes",
    "rpcs": "RPCs",
    "rate": "rate",
}


def digits(value: float) -> str:
    """Return a number with three digits that count: `"0.0123"`, `"1.23"`, `"123"`, `"12,345"`."""
    if value == 0:
        return "0"
    if abs(value) >= 100:  # noqa: PLR2004 - three digits before the point
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.1e}"


def amount(value: float | None, unit: str) -> str:
    """Return a figure with its unit: `"1.23 s"`, `"45.6 ms"`, `"12 MiB"`, `"1,234"`, `"3.4/s"`; a dash for None."""
    if value is None:
        return "-"
    if unit == "1":
        return digits(value)
    if unit == "1/s":
        return f"{digits(value)}/s"
    if value == 0:
        return f"0 {unit}"
    steps = _BINARY if unit == "B" else _SECONDS
    # Half a second is told in seconds: only what is far below is told in a smaller unit.
    slack = 1.0 if unit == "B" else 0.1
    factor, name = next((step for step in steps if abs(value) >= step[0] * slack), steps[-1])
    return f"{digits(value / factor)} {name}"


def quantity_name(quantity: str) -> str:
    """Return a quantity in words: `"CPU time of luxid"` for `"cpu:luxid"`."""
    kind, _colon, share = quantity.partition(":")
    name = KIND_NAMES.get(kind, kind)
    return f"{name} of {share}" if share else name
