"""Which configurations say the same."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.invariants.agreement import alike

CONFIG: dict[str, Any] = {
    "serial_no": 9,
    "mtime": 1795302908.4678457,
    "nodes": {"a": {"ctime": 1795302908.5, "tags": ["x", "y"], "offline": False}},
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**CONFIG, "nodes": {"a": {**CONFIG["nodes"]["a"], **fields}}}


def test_times_of_one_microsecond_are_alike() -> None:
    assert alike(CONFIG, {**CONFIG, "mtime": 1795302908.467846})
    assert alike(CONFIG, changed(ctime=1795302908.5000002))


@pytest.mark.parametrize(
    "other",
    [
        {**CONFIG, "mtime": 1795302908.467848},
        {**CONFIG, "mtime": 1795302908},
        {**CONFIG, "serial_no": 10},
        {"serial_no": 9, "mtime": CONFIG["mtime"]},
        changed(ctime=1795302909.5),
        changed(tags=["x"]),
        changed(tags=["x", "z"]),
        changed(tags={"x": "y"}),
        changed(offline=0.5),
    ],
)
def test_what_differs_is_not(other: dict[str, Any]) -> None:
    assert not alike(CONFIG, other)
    assert not alike(other, CONFIG)
