"""What becomes of frames by rules: who they concern, what is dropped, lost, held up and late."""

from __future__ import annotations

import json

import pytest

from pytest_ganeti_vcluster.engines.namespaces.fate import Fate
from pytest_ganeti_vcluster.engines.network_rules import OUTSIDE, Parties, Rule, between

ONE, TWO = Parties(frozenset({1})), Parties(frozenset({2}))
ALL = Parties(frozenset(), others=True)
NOW = 1000.0


def fate(*rules: Rule) -> Fate:
    made = Fate()
    for number, rule in enumerate(rules):
        made.begin(str(number), rule)
    return made


def test_a_rule_is_about_its_flows_only() -> None:
    rule = Rule(((ONE, Parties(frozenset({1, OUTSIDE}), others=True)),), drop=True)
    assert [rule.concerns(1, other) for other in (OUTSIDE, 1, 2, 99)] == [False, False, True, True]
    assert not rule.concerns(2, 1)
    both = Rule(between(ONE, TWO))
    assert both.concerns(1, 2)
    assert both.concerns(2, 1)
    assert not both.concerns(2, 3)


def test_what_is_dropped_never_arrives_and_all_else_at_once() -> None:
    found = fate(Rule(((ONE, TWO),), drop=True))
    assert found.of(1, 2, 100, NOW) is None
    assert found.of(2, 1, 100, NOW) == NOW


def test_delays_add_up_and_end_with_their_rules() -> None:
    found = fate(Rule(((ALL, ALL),), delay=0.5), Rule(((ONE, TWO),), delay=2.0))
    assert found.of(1, 2, 100, NOW) == NOW + 2.5
    assert found.of(2, 1, 100, NOW) == NOW + 0.5
    found.end("0")
    assert found.of(1, 2, 100, NOW) == NOW + 2.0
    found.end("1")
    found.end("1")
    assert not found
    assert found.of(1, 2, 100, NOW) == NOW


def test_losses_are_the_same_with_the_same_seed() -> None:
    def lost(seed: int) -> list[bool]:
        found = fate(Rule(((ALL, ALL),), loss=0.3, seed=seed))
        return [found.of(1, 2, 100, NOW) is None for _ in range(1000)]

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert 200 < sum(lost(1)) < 400
    everything = fate(Rule(((ALL, ALL),), loss=1.0))
    assert all(everything.of(1, 2, 100, NOW) is None for _ in range(100))


def test_bandwidth_is_each_pair_s_own_and_what_waits_too_long_is_dropped() -> None:
    found = fate(Rule(((ALL, ALL),), bandwidth=1000.0))
    # The first one leaves when all of it is out, the next one behind it.
    assert [found.of(1, 2, 500, NOW) for _ in range(4)] == [NOW + 0.5, NOW + 1.0, NOW + 1.5, None]
    assert found.of(2, 1, 500, NOW) == NOW + 0.5
    assert found.of(1, 2, 500, NOW + 10) == NOW + 10.5


def test_a_rule_that_began_again_stays_as_it_is() -> None:
    found = fate(Rule(((ALL, ALL),), delay=1.0))
    found.begin("0", Rule(((ALL, ALL),), delay=2.0))
    assert found.of(1, 2, 1, NOW) == NOW + 1.0


def test_rules_survive_json() -> None:
    rule = Rule(between(ONE, ALL), drop=True, delay=0.25, loss=0.5, bandwidth=3.0, seed=7)
    assert Rule.from_json(json.loads(json.dumps(rule.to_json()))) == rule
    with pytest.raises(TypeError):
        Rule.from_json({**rule.to_json(), "other": 1})
