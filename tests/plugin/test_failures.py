"""A test that fails in any of several ways: its report alone, and the page that it names, tell the cause."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.story.page.rendering import MOST_BYTES
from tests.plugin.conftest import InnerRun
from tests.scale.test_page import Page

_HELP = """
import json, os, pathlib, re, signal, threading, time
import pytest

HERE = pathlib.Path(__file__).parent

def wait(condition, timeout=60.0):
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.02)

def secrets_of(cluster):
    # Not by the product's own reading of them.
    found = set()
    for path in cluster.root.rglob("*"):
        if not path.is_file() or path.is_symlink() or "farm" in path.parts:
            continue
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "PRIVATE KEY" in text and "/log/" not in str(path):
            for block in re.findall(r"BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", text, re.DOTALL):
                found.update(line for line in block.split() if len(line) >= 20)
        if path.name in ("hmac.key", "cluster-domain-secret"):
            found.update(text.split())
    found.add(cluster.rapi_access.password)
    return found

def note_secrets(cluster):
    (HERE / f"secrets.{cluster.root.name}").write_text(json.dumps(sorted(secrets_of(cluster))))

def show(cluster, path):
    # Whatever a test shows of them.
    cluster.run("cat", cluster.master.seen_path(path))
"""

_SIX_WAYS = (
    _HELP
    + """
pytestmark = pytest.mark.vcluster(nodes=1)

def test_job(vcluster):
    note_secrets(vcluster)
    show(vcluster, "/var/lib/ganeti/rapi/users")
    show(vcluster, "/var/lib/ganeti/server.pem")
    show(vcluster, "/var/lib/ganeti/hmac.key")
    vcluster.run("gnt-cluster", "add-tags", "seen")
    vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.01, "on_nodes": ["nobody"]}).wait(30)

def test_daemon(vcluster):
    wconfd = vcluster.master.daemon("wconfd")
    vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.01}).wait(30)
    os.kill(wconfd.pid, signal.SIGKILL)
    wait(lambda: not wconfd.running)
    vcluster.submit({"OP_ID": "OP_TAGS_SET", "kind": "cluster", "name": None, "tags": ["a"]}).wait(3)

def test_time_out(vcluster):
    holder = vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 60, "no_locks": False, "on_nodes": ["node1.vc"]})
    wait(lambda: holder.status == "running")
    waiting = {"OP_ID": "OP_NODE_SET_PARAMS", "node_name": "node1.vc", "master_capable": True, "force": True}
    job = vcluster.submit(waiting)
    wait(lambda: any(row["pending"] for row in vcluster.luxi.query("lock", ["name", "pending"]).rows))
    job.wait(0.5)

def test_assertion(vcluster):
    names = vcluster.run("gnt-node", "list", "--no-headers", "--output=name").lines
    assert names == ["node7.vc"], "the node has another name"

def test_verify(vcluster):
    instance = vcluster.add_instance("web", primary="node1")
    vcluster.master.path(f"/var/run/ganeti/fake-hypervisor/{instance.name}").unlink()
    assert vcluster.verify() == []

@pytest.mark.vcluster(nodes=1, init_options=["--no-such-option"])
def test_boot(vcluster):
    pass

def test_closed(vcluster_factory):
    with vcluster_factory(nodes=1) as cluster:
        note_secrets(cluster)
        cluster.run("gnt-cluster", "add-tags", "seen")
        raise RuntimeError("in the block")

def test_passes(vcluster):
    pass
"""
)


@attrs.frozen
class Told:
    """What a failed test told: the section of its report, its page and the folder of that."""

    section: str
    page: Page
    folder: Path

    def file(self, name: str) -> str:
        """Return the text of a file of the folder, or of its only cluster."""
        (path,) = [*self.folder.glob(name), *self.folder.glob(f"*/{name}")]
        return path.read_text(encoding="utf-8")


def _told(text: str) -> dict[str, Told]:
    """Read what the output of an inner run tells, by the tests' names."""
    found = {}
    for name, report in re.findall(
        r"^_+ (?:ERROR at \w+ of )?(test_\w+) _+$(.*?)(?=^_{9}|^={9}|\Z)", text, re.DOTALL | re.MULTILINE
    ):
        match = re.search(
            r"^-+ vcluster: what went wrong -+$(.*?)^what happened: (\S+)$", report, re.DOTALL | re.MULTILINE
        )
        assert match is not None, report
        path = Path(match[2])
        assert path.stat().st_size <= MOST_BYTES
        found[name] = Told(match[1].strip(), Page(path.read_text(encoding="utf-8")), path.parent)
    return found


#: By test: how the section begins, and what else of the cause is in it.
_EXPECTED = {
    "test_job": (
        "job: Job ",
        [
            "failed in OP_TEST_DELAY: OpPrereqError: Node 'nobody' not known",
            # The test's own line, though it is a function of ours that has raised the error.
            '"duration": 0.01, "on_nodes": ["nobody"]}).wait(30)',
        ],
    ),
    "test_daemon": (
        "",
        ["daemon: ganeti-wconfd on node1.vc has died", "node1.vc/var/log/ganeti/wconf-daemon.log"],
    ),
    "test_time_out": (
        "time-out: Job ",
        [
            "(NODE_SET_PARAMS",
            "has not ended in 0.5 s, it is waiting",
            "it wants the lock node",
            "held by job ",
            ": job.wait(0.5)",
        ],
    ),
    "test_assertion": ("assertion: AssertionError: the node has another name", ["'node1.vc' != 'node7.vc'"]),
    "test_verify": (
        "assertion: ",
        ["verify: gnt-cluster verify found: ERROR EINSTANCEDOWN instance web.vc: "],
    ),
    "test_boot": ("boot: ", ["could not init the cluster", "no such option: --no-such-option"]),
    "test_closed": ("error: RuntimeError: in the block", []),
}


#: The page has the kind of a cause in a box of its own.
_KIND = re.compile("^[a-z-]+: ")


def test_the_report_alone_tells_the_cause_of_each_of_seven_failures(
    inner_run: InnerRun, pytester: pytest.Pytester, nothing_left: Callable[[], None]
) -> None:
    result = inner_run(
        _SIX_WAYS, "--vcluster-prepare=off", "--junitxml=junit.xml", "-o", "junit_family=xunit2"
    )
    result.assert_outcomes(failed=6, errors=1, passed=1)
    text = result.stdout.str()
    told = _told(text)
    assert told.keys() == _EXPECTED.keys()
    for name, (first, others) in _EXPECTED.items():
        section, shown = told[name].section, told[name].page.text
        assert section.startswith(first), section
        assert [other for other in others if other not in section] == []
        # The page says the same.
        words = " ".join(shown.split())
        assert [other for other in others if " ".join(_KIND.sub("", other).split()) not in words] == []
        # So does the end of the run.
        assert re.search(
            rf"^\S+::{name}: what happened: {told[name].folder}/failure.html$", text, re.MULTILINE
        )
    _check_story(told["test_job"])
    assert "add-tags seen" in told["test_closed"].file("commands.txt")
    assert "cluster.tags" in told["test_closed"].file("config-changes.txt")
    _check_secrets(pytester.path, told)
    _check_junit(pytester.path / "junit.xml", told)
    nothing_left()


def _check_story(told: Told) -> None:
    """Look at what else is known of a test: all kinds of things, merged in order of time."""
    events = [json.loads(line) for line in told.file("timeline.jsonl").splitlines()]
    assert [one["time"] for one in events] == sorted(one["time"] for one in events)
    assert {"test", "command", "job", "log", "rpc"} <= {one["kind"] for one in events}
    assert {"luxid", "wconfd", "noded"} & {one.get("source") for one in events}
    jobs = json.loads(told.file("jobs.json"))
    assert [(one["status"], one["opcodes"][0]["op_id"]) for one in jobs] == [
        ("success", "OP_TAGS_SET"),
        ("error", "OP_TEST_DELAY"),
    ]
    assert "gnt-cluster add-tags seen   (status 0, " in told.file("commands.txt")
    assert "cluster.tags" in told.file("config-changes.txt")
    assert told.file("locks.txt").strip()
    shapes = [one for tag, one in told.page.elements if tag in {"g", "path", "circle"} and "data-e" in one]
    assert len(shapes) == len(events)
    # The logs of before are there as well, and are no part of the story.
    assert "daemon startup" in told.file("node1.vc/log/luxi-daemon.log")
    assert not any("daemon startup" in one["text"] for one in events)


def _check_secrets(here: Path, told: dict[str, Told]) -> None:
    """No secret of any of the clusters is in any file, though one of the tests has shown some."""
    secrets = {one for path in here.glob("secrets.*") for one in json.loads(path.read_text())}
    assert len(secrets) > 30
    files = [path for one in told.values() for path in one.folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert [one for one in secrets if one in text] == [], path
    assert "(left out)" in told["test_job"].file("commands.txt")


def _check_junit(path: Path, told: dict[str, Told]) -> None:
    # Our own run has written it.
    tree = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314
    cases = {case.attrib["name"]: case for case in tree.iter("testcase")}
    for name, case in cases.items():
        pages = [
            one.attrib["value"] for one in case.iter("property") if one.attrib["name"] == "vcluster_failure"
        ]
        assert pages == ([str(told[name].folder / "failure.html")] if name in told else [])


_MANY_WAYS = (
    _HELP
    + """
@pytest.mark.vcluster(nodes=2)
def test_two_clusters(vcluster, vcluster_factory):
    other = vcluster_factory(nodes=1)
    other.run("gnt-cluster", "add-tags", "other")
    vcluster.run("gnt-cluster", "add-tags", "mine")
    vcluster.node("node2").crash()
    raise AssertionError("while a node is down")

@pytest.fixture
def breaks_in_the_end(vcluster):
    yield
    vcluster.run("gnt-cluster", "no-such-command")

@pytest.mark.vcluster(nodes=2)
def test_twice(breaks_in_the_end, vcluster):
    vcluster.close()
    raise AssertionError("after the end")

def test_shared(vcluster_session):
    vcluster_session.run("gnt-cluster", "verify", timeout=0.01)
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n2", "--vcluster-share=run")], ids=["alone", "workers"])
def test_several_clusters_closed_ones_and_shared_ones(
    inner_run: InnerRun, nothing_left: Callable[[], None], options: tuple[str, ...]
) -> None:
    result = inner_run(_MANY_WAYS, *options, "--vcluster-nodes=1")
    result.assert_outcomes(failed=3, errors=1)
    text = result.stdout.str()
    told = _told(text)
    both = told["test_two_clusters"]
    assert "the test had done this, and it was in force: node2.vc: crashed" in both.section
    assert "ganeti-noded on node2.vc has died" in both.section
    assert "the test had this done: node2.vc: crashed" in both.section
    commands = sorted(path.read_text(encoding="utf-8") for path in both.folder.glob("*/commands.txt"))
    assert ["mine" in one for one in commands] == ["other" not in one for one in commands]
    assert {("mine" in one) for one in commands} == {True, False}
    # Both have lanes in one picture.
    lanes = [one for tag, one in both.page.elements if tag == "text" and one.get("class") == "name"]
    assert len(lanes) == 3
    assert told["test_shared"].section.startswith(
        "time-out: on node1.vc: gnt-cluster verify did not end in time"
    )
    # Setup and teardown have stories of their own.
    pages = re.findall(
        r"^\S+::test_twice: what happened: \S+-(call|teardown)/failure.html$", text, re.MULTILINE
    )
    assert sorted(pages) == ["call", "teardown"]
    nothing_left()
