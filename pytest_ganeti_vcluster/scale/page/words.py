"""Results in words, for all pages."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pytest_ganeti_vcluster.scale.amounts import amount, quantity_name
from pytest_ganeti_vcluster.scale.results import Machine, Point


def kind_of(quantity: str) -> str:
    """Return what stands before the colon."""
    return quantity.partition(":")[0]


def title(operation: str, quantity: str) -> str:
    """Return an operation with its quantity, where that is not the time."""
    return operation if quantity == "wall" else f"{operation}, {quantity_name(quantity)}"


def anchor(operation: str) -> str:
    """Return the place of an operation in the page."""
    return "op-" + "".join(letter if letter.isalnum() else "-" for letter in operation)


def moment(seconds: float) -> str:
    """Return a time as people here write it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def machine_text(machine: Machine) -> str:
    """Return a machine in one line."""
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    parts = [
        cores,
        amount(machine.memory, "B"),
        machine.processor,
        machine.kernel,
        f"Python {machine.python}",
    ]
    return ", ".join(part for part in parts if part)


def tiers(points: Sequence[Point]) -> list[str]:
    """Say how nodes and instances came in: which sizes are real all through, and which were made in bulk."""
    words = {
        "real": "joined by gnt-node add, one after the other",
        "bulk": "joined in bulk: written into the configuration at once, as gnt-node add would have",
        "jobs": "created by jobs of Ganeti",
        "populated": "populated: written into the configuration at once, as jobs would have",
    }
    told = []
    for key in ("real", "bulk"):
        sizes = sorted({point.nodes for point in points if point.joined == key})
        if sizes:
            told.append(f"Clusters of {listed(sizes)} nodes {words[key]}.")
    for key in ("jobs", "populated"):
        sizes = sorted({point.instances for point in points if point.placed == key})
        if sizes:
            told.append(f"{listed(sizes)} instances were {words[key]}.")
    return told


def listed(numbers: Sequence[int]) -> str:
    """Return numbers as a sentence has them."""
    texts = [f"{number:,}" for number in numbers]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
