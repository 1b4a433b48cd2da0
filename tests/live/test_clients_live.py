"""The clients against the daemons of a real cluster, which is read more than changed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.clients import ConfdClient, LockOwner, LuxiClient, ResultStatus, WconfdClient
from pytest_ganeti_vcluster.clients.confd import REQ_CLUSTER_MASTER
from pytest_ganeti_vcluster.clients.luxi import RESOURCES
from pytest_ganeti_vcluster.clients.wconfd import EXCLUSIVE, LIVELOCKS, RELEASE, SHARED, SOCKET
from pytest_ganeti_vcluster.errors import (
    JobFailed,
    JobTimeout,
    LuxiError,
    MachineError,
    RapiError,
    WconfdError,
)

DELAY = {"OP_ID": "OP_TEST_DELAY", "duration": 0.01, "on_master": True, "no_locks": True}
#: `OP_TEST_DELAY` refuses a duration that is not positive when it runs, not when it is submitted.
FAILING = {**DELAY, "duration": 0}
LONG = {**DELAY, "duration": 60}


@pytest.fixture
def luxi(vcluster_session: Any) -> LuxiClient:
    client = vcluster_session.luxi
    assert isinstance(client, LuxiClient)
    return client


@pytest.fixture
def paused(luxi: LuxiClient) -> Iterator[None]:
    """Keep every job with OP_TEST_DELAY in the queue."""
    uuid = luxi.replace_filter(None, 0, [["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]], "PAUSE")
    yield
    luxi.delete_filter(uuid)


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_field_of_every_resource_can_be_queried(luxi: LuxiClient, resource: str) -> None:
    fields = [field.name for field in luxi.query_fields(resource)]
    answer = luxi.query(resource, fields)
    assert answer.names == fields
    assert answer.unknown == []
    assert all(list(row) == fields for row in answer.rows)


def test_nodes_by_all_ways(luxi: LuxiClient, vcluster_session: Any) -> None:
    names = sorted(node.name for node in vcluster_session.nodes)
    assert sorted(luxi.query("node", ["name"]).column("name")) == names
    assert sorted(row["name"] for row in luxi.query_nodes([], ["name"])) == names
    assert luxi.query("node", ["name"], ["=", "role", "M"]).rows == [{"name": vcluster_session.master.name}]


def test_unknown_field(luxi: LuxiClient) -> None:
    answer = luxi.query("node", ["name", "nope"])
    assert answer.unknown == ["nope"]
    assert answer.cells[0]["nope"].status is ResultStatus.UNKNOWN
    with pytest.raises(LuxiError, match="nope") as caught:
        luxi.query_nodes([], ["nope"])
    assert caught.value.kind == "OpPrereqError"


def test_cluster_info_config_values_and_tags(luxi: LuxiClient, vcluster_session: Any) -> None:
    info = luxi.query_cluster_info()
    values = luxi.query_config_values(["cluster_name", "master_node", "drain_flag", "nope"])
    assert values == {
        "cluster_name": info["name"],
        "master_node": vcluster_session.master.name,
        "drain_flag": False,
        "nope": None,
    }
    assert luxi.query_tags("node", vcluster_session.master.name) == []
    assert luxi.query_exports() == []
    assert luxi.query_groups([], ["name"]) == [{"name": "default"}]
    assert luxi.query_networks([], ["name"]) == []


def test_job_that_succeeds(vcluster_session: Any) -> None:
    job = vcluster_session.submit([DELAY, DELAY])
    assert job.wait(60) == [None, None]
    assert job.status == "success"
    record = job.record()
    assert record.received <= record.start <= record.end
    assert [op["OP_ID"] for op in record.opcodes] == ["OP_TEST_DELAY"] * 2
    assert record.opcodes[0]["reason"][0][0] == "gnt:client:pytest-ganeti-vcluster"


def test_job_that_fails_in_its_second_opcode(vcluster_session: Any) -> None:
    job = vcluster_session.submit([DELAY, FAILING, DELAY])
    with pytest.raises(
        JobFailed, match=r"failed in OP_TEST_DELAY \(2 of 3 opcodes\): OpPrereqError: Duration"
    ) as caught:
        job.wait(60)
    assert (caught.value.job_id, caught.value.status, caught.value.kind) == (job.id, "error", "OpPrereqError")


@pytest.mark.usefixtures("paused")
def test_job_that_does_not_end_and_is_cancelled(vcluster_session: Any) -> None:
    job = vcluster_session.submit(DELAY)
    begin = time.monotonic()
    with pytest.raises(JobTimeout) as caught:
        job.wait(0.5)
    assert 0.45 < time.monotonic() - begin < 10
    assert caught.value.status == "queued"
    assert job.cancel()
    with pytest.raises(JobFailed, match="canceled"):
        job.wait(60)
    assert not job.cancel()


def test_running_job_is_killed(luxi: LuxiClient, vcluster_session: Any) -> None:
    job = vcluster_session.submit({**LONG, "interruptible": True})
    change = luxi.wait_for_job_change(job.id, ["status"])
    while change is None or not change.log:
        seen = change.fields if change else None
        change = luxi.wait_for_job_change(job.id, ["status"], seen, 0, timeout=30)
    assert change.log[0].type == "delay-test"
    assert job.cancel(kill=True)
    with pytest.raises(JobFailed, match="detected death of job"):
        job.wait(60)


def test_archived_job_is_still_found(vcluster_session: Any) -> None:
    job = vcluster_session.submit(DELAY)
    job.wait(60)
    assert job.archive()
    assert not job.archive()
    assert job.status == "success"
    assert job.wait(10) == [None]


def test_many_jobs_at_once(luxi: LuxiClient, vcluster_session: Any) -> None:
    first, second = luxi.submit_many_jobs([DELAY, [DELAY, DELAY]])
    rows = luxi.query_jobs([first, second], ["id", "ops"])
    assert [(row["id"], len(row["ops"])) for row in rows] == [(first, 1), (second, 2)]
    vcluster_session.wait_idle(60)


@pytest.mark.usefixtures("paused")
def test_priority_of_a_waiting_job(luxi: LuxiClient, vcluster_session: Any) -> None:
    job = vcluster_session.submit(DELAY)
    done, text = luxi.change_job_priority(job.id, -5)
    assert done, text
    assert luxi.query_jobs([job.id], ["priority"]) == [{"priority": -5}]
    assert job.cancel()


def test_job_that_there_is_not(luxi: LuxiClient) -> None:
    assert luxi.query_jobs([999999], ["status"]) == [{"status": None}]
    assert luxi.cancel_job(999999)[0] is False
    assert luxi.archive_job(999999) is False
    with pytest.raises(LuxiError) as caught:
        luxi.wait_for_job_change(999999, ["status"])
    assert caught.value.kind == "JobLost"


def test_drained_queue(luxi: LuxiClient, vcluster_session: Any) -> None:
    luxi.set_drain_flag(False)  # of an open queue: would hang, if it were asked for
    luxi.set_drain_flag(True)
    try:
        with pytest.raises(LuxiError, match="drained"):
            vcluster_session.submit(DELAY)
        assert luxi.submit_job_to_drained_queue(DELAY) > 0
    finally:
        luxi.set_drain_flag(False)
    vcluster_session.submit(DELAY).wait(60)


def test_watcher_pause(luxi: LuxiClient) -> None:
    until = time.time() + 600
    luxi.set_watcher_pause(until)
    assert luxi.query_config_values(["watcher_pause"])["watcher_pause"] == pytest.approx(until, abs=2)
    luxi.set_watcher_pause(None)
    assert luxi.query_config_values(["watcher_pause"]) == {"watcher_pause": None}


def test_filters(luxi: LuxiClient) -> None:
    uuid = luxi.replace_filter(None, 3, [["jobid", ["=", "id", 999999]]], "REJECT")
    try:
        assert luxi.query_filters([uuid], ["uuid", "action"]) == [{"uuid": uuid, "action": "REJECT"}]
        assert luxi.replace_filter(uuid, 4, [["jobid", ["=", "id", 999999]]], ["RATE_LIMIT", 2]) == uuid
        rows = luxi.query("filter", ["priority", "action"], ["=", "uuid", uuid]).rows
        assert rows == [{"priority": 4, "action": ["RATE_LIMIT", 2]}]
    finally:
        luxi.delete_filter(uuid)
    assert uuid not in luxi.query("filter", ["uuid"]).column("uuid")


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ({"OP_ID": "OP_TEST_DELAY"}, "key 'duration' not found"),
        ({"OP_ID": "OP_INSTANCE_CREATE", "instance_name": "i"}, "key 'disks' not found"),
        ({**DELAY, "blah": 1}, "Superfluous dictionary keys"),
        ({"OP_ID": "OP_NO_SUCH"}, "Unknown opcode OP_NO_SUCH"),
    ],
)
def test_opcode_that_luxid_refuses(vcluster_session: Any, op: dict[str, Any], said: str) -> None:
    with pytest.raises(LuxiError, match=said) as caught:
        vcluster_session.submit(op)
    assert caught.value.kind == "RequestError"


def test_rapi_reads_and_waits(luxi: LuxiClient, vcluster_session: Any) -> None:
    rapi = vcluster_session.rapi
    assert rapi.version() == 2
    assert rapi.info()["name"] == luxi.query_cluster_info()["name"]
    assert {node["id"] for node in rapi.get("nodes")} == {node.name for node in vcluster_session.nodes}
    job_id = vcluster_session.submit(DELAY).id
    assert rapi.wait_job(job_id, 60) == [None]
    with pytest.raises(JobFailed, match="Duration must be greater"):
        rapi.wait_job(vcluster_session.submit(FAILING).id, 60)


def test_rapi_writes(luxi: LuxiClient, vcluster_session: Any) -> None:
    rapi, master = vcluster_session.rapi, vcluster_session.master.name
    rapi.wait_job(rapi.put(f"nodes/{master}/tags", tag=["one", "two"]), 60)
    try:
        assert sorted(luxi.query_tags("node", master)) == ["one", "two"]
    finally:
        rapi.wait_job(rapi.delete(f"nodes/{master}/tags", tag=["one", "two"]), 60)
    assert luxi.query_tags("node", master) == []


def test_rapi_errors(vcluster_session: Any) -> None:
    with pytest.raises(RapiError, match="404 Not Found") as caught:
        vcluster_session.rapi.get("no/such/thing")
    assert caught.value.status == 404
    with pytest.raises(RapiError, match="knows no job 999999"):
        vcluster_session.rapi.wait_job(999999, 10)


def test_ganetis_own_rapi_client(vcluster_session: Any) -> None:
    try:
        client = vcluster_session.rapi.ganeti_client()
    except MachineError as problem:
        pytest.skip(str(problem))
    assert client.GetVersion() == 2
    assert client.GetInfo()["name"] == vcluster_session.rapi.info()["name"]


def test_confd(vcluster_session: Any) -> None:
    master = vcluster_session.master
    key = master.path("/var/lib/ganeti/hmac.key").read_bytes()
    new_socket = master.boot_node.site.network.new_socket
    client = ConfdClient(key, master.ip, make_socket=new_socket)
    assert client.ping(10)
    assert client.query(REQ_CLUSTER_MASTER, {"3": [0]}).answer == [master.name]
    assert not ConfdClient(key + b"x", master.ip, make_socket=new_socket).ping(0.5)


@pytest.fixture
def wconfd(vcluster_session: Any) -> WconfdClient:
    return WconfdClient(vcluster_session.master.path(SOCKET))


@pytest.fixture
def livelocks(vcluster_session: Any) -> Path:
    folder = vcluster_session.master.path(LIVELOCKS)
    assert isinstance(folder, Path)
    return folder


def test_the_configuration_by_wconfd(wconfd: WconfdClient, vcluster_session: Any) -> None:
    config = wconfd.read_config()
    assert config["cluster"]["cluster_name"] == vcluster_session.name
    assert sorted(node["name"] for node in config["nodes"].values()) == sorted(
        node.name for node in vcluster_session.nodes
    )
    with pytest.raises(WconfdError, match="nope"):
        wconfd.call("nope")


_OF_NODE = "who owns locks is a process with a file, both of the master's"


@pytest.mark.only_on("loopback", _OF_NODE)
def test_locks_of_the_configuration_by_wconfd(wconfd: WconfdClient, livelocks: Path) -> None:
    config = wconfd.read_config()
    with LockOwner.alive(livelocks, "one") as one, LockOwner.alive(livelocks, "other") as other:
        assert wconfd.lock_config(one, shared=False) == config
        assert wconfd.lock_config(other, shared=True) is None
        wconfd.unlock_config(one)
        assert wconfd.lock_config(other, shared=True) == config
        wconfd.unlock_config(other)


@pytest.fixture
def hangups() -> Iterator[list[int]]:
    """What wconfd tells us of locks that we wait for."""
    seen: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: seen.append(number))
    yield seen
    signal.signal(signal.SIGHUP, before)


@pytest.mark.only_on("loopback", _OF_NODE)
def test_locks_by_wconfd(wconfd: WconfdClient, livelocks: Path, luxi: LuxiClient, hangups: list[int]) -> None:
    with LockOwner.alive(livelocks, 10**6) as one, LockOwner.alive(livelocks, "other") as other:
        assert wconfd.try_update_locks(one, {"instance/web": EXCLUSIVE, "node/[lockset]": SHARED}) == []
        assert wconfd.locks_of(one) == {"instance/web": "exclusive", "node/[lockset]": "shared"}
        (row,) = luxi.query("lock", ["name", "owner"], ["=", "name", "instance/web"]).rows
        assert str(10**6) in row["owner"][0]
        # All or nothing, and who is in the way.
        wanted = {"instance/mail": SHARED, "instance/web": SHARED}
        assert wconfd.try_update_locks(other, wanted) == [one.to_json()]
        assert wconfd.locks_of(other) == {}
        assert wconfd.update_locks_waiting(other, wanted) == [one.to_json()]
        assert wconfd.has_pending_request(other)
        assert not hangups
        wconfd.try_update_locks(one, {"instance/web": RELEASE})
        assert hangups == [signal.SIGHUP]
        assert wconfd.locks_of(other) == {"instance/mail": "shared", "instance/web": "shared"}
        for owner in (one, other):
            wconfd.free_locks(owner)
        assert not [lock for lock in wconfd.all_locks() if lock.startswith("instance/")]
    assert not livelocks.joinpath(one.livelock.name).exists()
