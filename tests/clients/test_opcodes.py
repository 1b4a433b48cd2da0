from __future__ import annotations

import time
from typing import Any

import pytest

from pytest_ganeti_vcluster.clients.opcodes import REASON_SOURCE, job_opcodes, opcode
from pytest_ganeti_vcluster.errors import SpecError


class OpTestDelay:
    """Has what makes an opcode object of lib/opcodes_base.py: OP_ID on the class, and a state without it."""

    OP_ID = "OP_TEST_DELAY"

    def __init__(self, **params: Any) -> None:
        self.params = params

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.params)


class Private:
    """As in lib/serializer.py: shows itself to nobody who does not ask for it."""

    def __init__(self, item: Any) -> None:
        self._item = item

    def Get(self) -> Any:  # noqa: N802 - Ganeti's name
        return self._item

    def __getattr__(self, name: str) -> Private:
        return Private(getattr(self._item, name))


def test_reason_is_filled_in_and_nothing_else() -> None:
    before = time.time_ns()
    op = opcode({"OP_ID": "OP_TEST_DELAY", "duration": 1})
    ((source, text, stamp),) = op.pop("reason")
    assert op == {"OP_ID": "OP_TEST_DELAY", "duration": 1}
    assert (source, text) == (REASON_SOURCE, "")
    assert before <= stamp <= time.time_ns()


def test_what_is_given_stays() -> None:
    given = {
        "OP_ID": "OP_TEST_DELAY",
        "reason": [],
        "priority": 10,
        "dry_run": True,
        "depends": [[3, ["success"]]],
    }
    assert opcode(given) == given


def test_what_was_given_is_not_changed() -> None:
    given = {"OP_ID": "OP_TEST_DELAY", "on_nodes": ["a"]}
    opcode(given)["on_nodes"].append("b")
    assert given == {"OP_ID": "OP_TEST_DELAY", "on_nodes": ["a"]}


def test_opcode_objects_also_within_others() -> None:
    inner = OpTestDelay(duration=1)
    outer = opcode({"OP_ID": "OP_INSTANCE_MULTI_ALLOC", "instances": [inner], "reason": []})
    assert outer["instances"] == [{"OP_ID": "OP_TEST_DELAY", "duration": 1}]
    assert opcode(OpTestDelay(duration=2, reason=[])) == {
        "OP_ID": "OP_TEST_DELAY",
        "duration": 2,
        "reason": [],
    }


def test_private_values_are_laid_open_for_the_wire() -> None:
    op = opcode({"OP_ID": "OP_INSTANCE_CREATE", "osparams_secret": {"password": Private("p")}, "reason": []})
    assert op["osparams_secret"] == {"password": "p"}
    assert type(op["osparams_secret"]["password"]) is str


def test_tuples_and_sets_become_lists() -> None:
    assert opcode({"OP_ID": "OP_TAGS_SET", "tags": ("a",), "x": {"b"}, "reason": []})["tags"] == ["a"]


def test_a_job_is_one_opcode_or_several() -> None:
    one = {"OP_ID": "OP_TEST_DELAY", "reason": []}
    assert job_opcodes(one) == job_opcodes([one]) == job_opcodes((one,)) == [one]
    assert job_opcodes([one, OpTestDelay(reason=[])]) == [one, one]
    assert job_opcodes(OpTestDelay(reason=[])) == [one]


@pytest.mark.parametrize(
    ("ops", "said"),
    [
        ({"duration": 1}, "without 'OP_ID': it has 'duration'"),
        ({}, "without 'OP_ID': it has nothing"),
        ([{"OP_ID": "OP_TEST_DELAY"}, {"duration": 1}], "without 'OP_ID'"),
        ({"OP_ID": "TEST_DELAY"}, "'TEST_DELAY', and Ganeti's opcodes begin with 'OP_'"),
        ({"OP_ID": None}, "begin with 'OP_'"),
        ([], "at least one opcode"),
        ("OP_TEST_DELAY", "not str 'OP_TEST_DELAY'"),
        (7, "not int 7"),
        (object(), "not object"),
        ([7], "not int 7"),
    ],
)
def test_what_is_no_job(ops: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        job_opcodes(ops)
