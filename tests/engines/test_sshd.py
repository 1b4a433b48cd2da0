"""How nodes are shared out among sshd processes, each of which listens on sixteen addresses."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.engines.loopback import plan, sshd


@pytest.mark.parametrize(
    ("node", "number", "nodes"),
    [
        (1, 0, range(1, 17)),
        (16, 0, range(1, 17)),
        (17, 1, range(17, 33)),
        (33, 2, range(33, 49)),
        (112, 6, range(97, 113)),
    ],
)
def test_sixteen_nodes_share_an_sshd(node: int, number: int, nodes: range) -> None:
    assert sshd.serving(node) == (number, nodes)


def test_no_sshd_listens_beyond_the_last_node_of_a_block() -> None:
    assert sshd.serving(plan.NODES_PER_BLOCK)[1][-1] == plan.NODES_PER_BLOCK
