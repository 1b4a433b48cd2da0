"""Names for instances that nobody has named."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from pytest_ganeti_vcluster.cluster.instance_opcodes import free_names


@pytest.mark.parametrize(
    ("prefix", "taken", "first"),
    [
        ("instance", [], ["instance1", "instance2", "instance3"]),
        ("web", ["web2.vc", "web1.elsewhere.org", "db3.vc"], ["web3", "web4", "web5"]),
        ("web", ["web10.vc", "aweb1.vc", "web2"], ["web1", "web3", "web4"]),
        ("www.web", ["www.web1", "www.vc"], ["www.web2", "www.web3", "www.web4"]),
    ],
)
def test_free_names(prefix: str, taken: Iterable[str], first: list[str]) -> None:
    assert list(itertools.islice(free_names(prefix, iter(taken)), 3)) == first
