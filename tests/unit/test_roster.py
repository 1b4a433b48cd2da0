"""The nodes of a cluster, as several processes know them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.roster import Member, Roster
from pytest_ganeti_vcluster.cluster.spec import NodeSpec

FIRST = (Member(NodeSpec(name="node1"), 1), Member(NodeSpec(name="node2", memory=4096, group="g"), 2))


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    roster = Roster(tmp_path)
    roster.create(FIRST)
    return roster


def test_every_process_sees_who_joins_and_leaves(roster: Roster) -> None:
    other = Roster(roster.root)
    assert other.members() == FIRST
    with roster.new_number() as number:
        assert number == 3
    new = Member(NodeSpec(name="web", master_candidate=False), number)
    roster.join(new)
    assert other.members() == (*FIRST, new)
    other.leave(2)
    other.leave(2)
    assert roster.members() == (FIRST[0], new)


def test_a_number_is_given_once_but_for_what_failed(roster: Roster) -> None:
    other = Roster(roster.root)
    with pytest.raises(OSError, match="broken"), roster.new_number() as number:
        raise OSError("broken")
    with other.new_number() as again:
        assert again == number
    with roster.new_number() as third:
        assert third == number + 1
    roster.leave(2)
    assert roster.next_number() == other.next_number() == third + 1


def test_many_processes_get_numbers_of_their_own(roster: Roster) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from pytest_ganeti_vcluster.cluster.roster import Member, NodeSpec, Roster\n"
        "roster = Roster(Path(sys.argv[1]))\n"
        "for turn in range(20):\n"
        "    with roster.new_number() as number: pass\n"
        "    roster.join(Member(NodeSpec(name=f'node{number}'), number))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(roster.root)]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0] * 3
    assert sorted(member.index for member in roster.members()) == list(range(1, 63))
    assert roster.next_number() == 63


def test_an_earlier_state_is_put_back_for_all(roster: Roster) -> None:
    other = Roster(roster.root)
    before, number = roster.members(), roster.next_number()
    other.leave(1)
    with other.new_number():
        pass
    roster.replace_with(before, number)
    assert other.members() == FIRST
    assert other.next_number() == 3


def test_the_last_known_nodes_are_told_of_a_cluster_that_has_gone(roster: Roster) -> None:
    assert roster.members() == FIRST
    roster.path.unlink()
    assert roster.members() == FIRST
