"""Fixture `vcluster_rapi`: live, recorded, replayed and checked, in runs of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_ganeti_vcluster import RapiEndpoint, VirtualCluster
from tests.plugin.conftest import InnerRun

_TESTS = """
import os, subprocess, sys, urllib.request, ssl, base64, json
import pytest

pytestmark = pytest.mark.vcluster(nodes=1)

CLIENT = '''
import base64, json, os, urllib.request
secret = os.environ["GANETI_RAPI_USERNAME"] + ":" + os.environ["GANETI_RAPI_PASSWORD"]
headers = {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}
request = urllib.request.Request(os.environ["GANETI_RAPI_URL"] + "/2/nodes?bulk=1", headers=headers)
print([node["name"] for node in json.load(urllib.request.urlopen(request))])
'''

def test_a_process(vcluster_rapi):
    env = {**os.environ, **vcluster_rapi.env}
    assert subprocess.check_output([sys.executable, "-c", CLIENT], env=env, text=True) == "['node1.vc']\\n"

@pytest.mark.vcluster_cassette("tagging")
def test_tags(vcluster_rapi):
    vcluster_rapi.arrange(lambda cluster: cluster.run("gnt-cluster", "add-tags", "before"))
    client = vcluster_rapi.client
    client.wait_job(client.put("tags", tag="TAG"))
    assert sorted(client.get("tags")) == ["before", "TAG"] or sorted(client.get("tags")) == ["TAG", "before"]

def test_fails(vcluster_rapi):
    vcluster_rapi.client.info()
    assert os.environ.get("PASS")

def test_both(vcluster, vcluster_rapi):
    assert vcluster_rapi.cluster is vcluster
"""


def test_record_replay_and_check(
    pytester: pytest.Pytester, inner_run: InnerRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = inner_run(_TESTS, "--vcluster-rapi=record")
    result.assert_outcomes(passed=3, failed=1)
    name = Path(str(pytester.path)).name
    folder = pytester.path / "cassettes" / next(pytester.path.glob("test_*.py")).stem
    result.stdout.fnmatch_lines([f"*::test_tags: recorded to {folder}/tagging.json"])
    result.stdout.fnmatch_lines(["*::test_fails: not recorded to * since the test did not pass"])
    assert name
    assert {one.name for one in folder.iterdir()} == {"test_a_process.json", "tagging.json", "test_both.json"}
    cassette = json.loads((folder / "test_a_process.json").read_text())
    [exchange] = cassette["exchanges"]
    # Where it ran is not told, nor who was let in.
    assert exchange["answer"]["json"][0]["pip"] == "198.18.0.1"
    assert exchange["request"] == {"method": "GET", "path": "/2/nodes", "query": [["bulk", "1"]]}

    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-rs", "--vcluster-rapi=replay", f"--vcluster-ganeti={tmp_path}"
    )
    result.assert_outcomes(passed=2, skipped=1, errors=1)
    result.stdout.fnmatch_lines(["*CassetteError: there is no cassette *test_fails.json"])
    result.stdout.fnmatch_lines(["SKIPPED*uses vcluster beside vcluster_rapi*"])

    changed = (folder / "tagging.json").read_text().replace('"before"', '"behind"')
    (folder / "tagging.json").write_text(changed)
    monkeypatch.setenv("PASS", "1")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--vcluster-rapi=check")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        [
            f"{folder}/tagging.json: what is not as the cassette has it",
            "GET /2/tags",
            "*was 'behind', is 'before'",
        ]
    )
    assert "there is no cassette" in result.stdout.str()


def test_what_is_asked_otherwise_than_recorded_fails_the_test(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    pytester.makepyfile(
        test_it="""
        import pytest
        from pytest_ganeti_vcluster import RapiError

        @pytest.mark.parametrize("what", ["a/b", "a:b"])
        def test_asks(vcluster_rapi, what):
            assert vcluster_rapi.cluster is None
            with pytest.raises(RapiError, match="nearest that was: GET /2/nodes"):
                vcluster_rapi.client.get("nodes", bulk=1)
        """
    )
    cassette = {
        "format": "pytest-ganeti-vcluster RAPI cassette",
        "version": 1,
        "about": {},
        "exchanges": [
            {"request": {"method": "GET", "path": "/2/nodes"}, "answer": {"status": 200, "headers": {}}}
        ],
    }
    args = ("-p", "no:cacheprovider", "--vcluster-rapi=replay", f"--vcluster-rapi-cassettes={folder}")
    missing = pytester.runpytest_subprocess(*args).stdout.str()
    told = "there is no cassette "
    paths = {line.partition(told)[2] for line in missing.splitlines() if told in line}
    # What is not fit for a file's name is left out of it, and they are two nevertheless.
    assert len({Path(path) for path in paths}) == 2, missing
    for path in paths:
        assert Path(path).parent == folder / "test_it"
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(cassette))
    result = pytester.runpytest_subprocess(*args)
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*requests that the cassette has no answer for*", "GET /2/nodes?bulk=1"])


def test_a_bad_marker_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.vcluster_cassette(varying="ctime")
        def test_one(vcluster_rapi): pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--vcluster-rapi=replay")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*varying is 'ctime', and has to be a list of names of fields*"])


@pytest.mark.vcluster(nodes=1)
def test_the_endpoint_is_that_of_the_tests_cluster(
    vcluster: VirtualCluster, vcluster_rapi: RapiEndpoint
) -> None:
    assert vcluster_rapi.cluster is vcluster
    assert vcluster_rapi.url == vcluster.rapi.url == f"https://{vcluster_rapi.host}:{vcluster_rapi.port}"
    assert vcluster_rapi.env["GANETI_RAPI_PASSWORD"] == vcluster.rapi.password
    assert vcluster_rapi.client.info()["name"] == vcluster.name
    assert vcluster.rapi.password not in repr(vcluster_rapi)
