"""Files whose tests want the same cluster come one after the other; what belongs together stays together."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from pytest_ganeti_vcluster.testing.ordering import arranged

#: A test: its file, its cluster ("" for none), its groups, and a number that tells it from others.
_Test = tuple[str, str, str, int]


def _tests(text: str) -> list[_Test]:
    """Read tests from a text such as `a:X a:Y/g b:`: file, cluster, group."""
    tests = []
    for number, word in enumerate(text.split()):
        file, _, rest = word.partition(":")
        spec, _, group = rest.partition("/")
        tests.append((file, spec, group, number))
    return tests


def _arranged(tests: Sequence[_Test]) -> list[_Test]:
    return arranged(tests, lambda t: t[0], lambda t: [t[2]] if t[2] else [], lambda t: t[1] or None)


def _text(tests: Sequence[_Test]) -> str:
    return " ".join(f"{file}:{spec}{'/' + group if group else ''}" for file, spec, group, _ in tests)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ""),
        ("a:X b:Y c:X d:Y", "a:X c:X b:Y d:Y"),
        # One kind of cluster for all: nothing is to be gained.
        ("a:X b: c:X a:X", "a:X b: c:X a:X"),
        # A file without clusters keeps its place in line.
        ("a:X u: b:Y v: c:X", "a:X u: c:X v: b:Y"),
        ("u: v: b:Y a:X c:Y", "u: v: b:Y c:Y a:X"),
        # Within a file nothing moves, whatever it wants.
        ("a:X a: a:Y a:X b:Y c:X", "a:X a: a:Y a:X c:X b:Y"),
        # After a file comes one that begins with what it ended with.
        ("a:X a:Y b:X c:Y", "a:X a:Y c:Y b:X"),
        # An order by chance is left as it is, but for what can stand together in it.
        ("a:X b:Y a:X b:Y", "a:X a:X b:Y b:Y"),
        # A group holds together the files that it touches.
        ("a:X/g b:Y c:X/g d:Y", "a:X/g c:X/g b:Y d:Y"),
        ("a:X b:X/g c:Y d:Y/g e:X", "a:X b:X/g d:Y/g c:Y e:X"),
        ("a:X/g a:X b:Y c:Y/g c:Z/h d:X e:Z/h", "a:X/g a:X c:Y/g c:Z/h e:Z/h b:Y d:X"),
    ],
)
def test_the_order_of_tests(given: str, expected: str) -> None:
    assert _text(_arranged(_tests(given))) == expected


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_given_nothing_is_lost_split_or_turned_around(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same each time
    files = [f"f{number}" for number in range(rng.randint(1, 12))]
    words = [
        f"{file}:{rng.choice(['', 'X', 'Y', 'Z'])}{rng.choice(['', '', '', '/g', '/h'])}"
        for file in files
        for _ in range(rng.randint(1, 5))
    ]
    given = _tests(" ".join(words))
    result = _arranged(given)
    assert sorted(result) == sorted(given)
    assert _arranged(given) == result
    for file in files:
        places = [place for place, test in enumerate(result) if test[0] == file]
        assert places == list(range(places[0], places[0] + len(places)))
        assert [result[place][3] for place in places] == [test[3] for test in given if test[0] == file]
    for group in "gh":
        ours = [place for place, test in enumerate(result) if test[2] == group]
        # What stands between tests of a group is of a file of that group: nothing foreign came between.
        touched = {result[place][0] for place in ours}
        linked = {test[0] for test in given if test[2]} | touched
        assert all(
            result[place][0] in linked for place in range(min(ours, default=0), max(ours, default=-1) + 1)
        )


@pytest.mark.parametrize("seed", range(10))
def test_files_of_one_kind_each_need_each_cluster_once(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same each time
    kinds = {f"f{number}": rng.choice(["", "X", "Y", "Z"]) for number in range(20)}
    result = _arranged(_tests(" ".join(f"{file}:{kind}" for file, kind in kinds.items() for _ in range(3))))
    assert _changes(result) == len(set(kinds.values()) - {""}) - 1


def _changes(tests: Sequence[_Test]) -> int:
    specs = [spec for _file, spec, _group, _number in tests if spec]
    return sum(a != b for a, b in zip(specs, specs[1:]))


# In pytest. The fixture is a stand-in, as the order is all that matters here.

_CONFTEST = """
import pytest

@pytest.fixture
def vcluster(): return None
"""

_FILES = {
    "test_a": "two",
    "test_b": "one",
    "test_c": "two",
    "test_d": None,
    "test_e": "one",
}
_GROUPED = ["test_a", "test_c", "test_b", "test_d", "test_e"]


def _make_files(pytester: pytest.Pytester, fail: str = "") -> None:
    pytester.makeconftest(_CONFTEST)
    pytester.makeini("[pytest]\nvcluster_prepare = off")
    for name, nodes in _FILES.items():
        mark = f"pytestmark = pytest.mark.vcluster(name={nodes!r})" if nodes else ""
        fixture = "vcluster" if nodes else ""
        pytester.makepyfile(
            **{
                name: f"""
                import pytest
                {mark}
                def test_one({fixture}): pass
                def test_two({fixture}): assert {name != fail}
                def test_three({fixture}): pass
                """
            }
        )


def _ran(result: pytest.RunResult) -> list[str]:
    return [line.split(" ")[0] for line in result.outlines if line.startswith("test_") and "::" in line]


def _files(tests: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(test.partition(".py")[0] for test in tests))


def test_files_are_grouped_and_tests_in_them_stay(pytester: pytest.Pytester) -> None:
    _make_files(pytester)
    ran = _ran(pytester.runpytest_subprocess("-v", "-p", "no:randomly", "-p", "no:cacheprovider"))
    assert _files(ran) == _GROUPED
    assert [test.partition("::")[2] for test in ran] == ["test_one", "test_two", "test_three"] * len(_FILES)


def test_the_order_given_is_left_if_asked_for(pytester: pytest.Pytester) -> None:
    _make_files(pytester)
    result = pytester.runpytest_subprocess("-v", "-p", "no:randomly", "--vcluster-order=given")
    assert _files(_ran(result)) == list(_FILES)


def test_failed_first_is_obeyed(pytester: pytest.Pytester) -> None:
    _make_files(pytester, fail="test_e")
    pytester.runpytest_subprocess("-p", "no:randomly")
    ran = _ran(pytester.runpytest_subprocess("-v", "-p", "no:randomly", "--ff"))
    assert ran[0] == "test_e.py::test_two"
    assert _files(ran[1:]) == _GROUPED


def test_a_random_order_within_files_is_left(pytester: pytest.Pytester) -> None:
    _make_files(pytester)
    # What plugins for random orders do: they turn around files, and tests in files.
    pytester.makeconftest(
        _CONFTEST
        + """
def pytest_collection_modifyitems(items):
    items.reverse()
"""
    )
    ran = _ran(pytester.runpytest_subprocess("-v", "-p", "no:randomly", "-p", "no:cacheprovider"))
    assert _files(ran) == ["test_e", "test_d", "test_b", "test_c", "test_a"]
    assert [test.partition("::")[2] for test in ran] == ["test_three", "test_two", "test_one"] * len(_FILES)


@pytest.mark.parametrize("dist", ["load", "loadfile", "loadgroup", "loadscope", "worksteal"])
def test_all_workers_collect_the_same(pytester: pytest.Pytester, dist: str) -> None:
    _make_files(pytester)
    pytester.makepyfile(
        test_f="""
        import pytest

        @pytest.mark.xdist_group("g")
        @pytest.mark.vcluster(name="one")
        def test_one(vcluster): pass

        @pytest.mark.vcluster(name="two")
        def test_two(vcluster): pass
        """,
        test_g="""
        import pytest

        @pytest.mark.xdist_group("g")
        @pytest.mark.vcluster(name="two")
        def test_one(vcluster): pass
        """,
    )
    result = pytester.runpytest_subprocess("-v", "-n2", f"--dist={dist}", "-p", "no:randomly")
    result.assert_outcomes(passed=3 * len(_FILES) + 3)
    assert "Different tests were collected" not in result.stdout.str()
