"""What is different between two configurations."""

from __future__ import annotations

import json

from pytest_ganeti_vcluster.story.changes import config_changes
from tests.story import made


def test_changes_are_told_by_names_and_without_what_always_changes() -> None:
    after = json.loads(made.config(tags=["new"]))
    after["cluster"]["serial_no"] = 9
    after["cluster"]["said_to_be_empty"] = []
    after["nodes"]["uuid-node4"] = {"name": "node4.vc"}
    del after["nodes"]["uuid-node3.vc"]
    changes = config_changes(made.config(), json.dumps(after).encode())
    assert changes is not None
    assert [str(one) for one in changes] == [
        '~ cluster.tags: [] → ["new"]',
        '- nodes.node3.vc = {"name": "node3.vc", "serial_no": 1}',
        '+ nodes.node4.vc = {"name": "node4.vc"}',
    ]


def test_the_same_is_no_change() -> None:
    assert config_changes(made.config(), made.config()) == []


def test_what_is_not_known_or_damaged_cannot_be_compared() -> None:
    assert config_changes(None, made.config()) is None
    assert config_changes(made.config(), b"{half") is None
