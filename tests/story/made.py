"""Evidence that was made up: a cluster of three nodes, as files and facts, with something of every kind in it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from pytest_ganeti_vcluster.cluster.command_log import RanCommand
from pytest_ganeti_vcluster.cluster.remains import DeadDaemon, Piece, Remains
from pytest_ganeti_vcluster.story.causes import Failure
from pytest_ganeti_vcluster.story.evidence import Evidence, SeenFault
from pytest_ganeti_vcluster.story.locks import Lock, LockTable

BEGAN = time.mktime((2026, 5, 4, 12, 0, 0, 0, 0, -1))
ENDED = BEGAN + 12.0
NODES = ("node1.vc", "node2.vc", "node3.vc")
PASSWORD = "correct-horse-battery"
KEY_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
SECRET = "0123456789abcdef0123456789abcdef01234567"


def python_line(after: float, program: str, text: str, level: str = "INFO", pid: int = 100) -> str:
    moment = BEGAN + after
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    return f"{clock},{int(moment % 1 * 1000):03d}: {program} pid={pid} {level} {text}\n"


def haskell_line(after: float, program: str, text: str, level: str = "INFO", pid: int = 200) -> str:
    moment = BEGAN + after
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
    part = f"{int(moment % 1 * 1_000_000):06d}000000"
    return f"{clock},{part} UTC: {program} pid={pid}/ThreadId 3 {level} {text}\n"


def piece(text: str, changed: float = ENDED) -> Piece:
    return Piece(text.encode(), 0, len(text.encode()), changed)


def rpc(after: float, name: str) -> str:
    return python_line(after, "ganeti-noded", f"127.0.0.1:46880 POST /{name} HTTP/1.1 200", pid=101)


def stamp(after: float | None) -> list[int] | None:
    if after is None:
        return None
    moment = BEGAN + after
    return [int(moment), int(moment % 1 * 1_000_000)]


def job(
    number: int,
    op_id: str,
    status: str,
    *,
    at: tuple[float, float | None, float | None],
    result: Any = None,
    log: tuple[tuple[float, str], ...] = (),
    **arguments: Any,
) -> str:
    received, start, end = at
    op = {
        "input": {"OP_ID": op_id, "debug_level": 0, "priority": 0, "reason": [], **arguments},
        "status": status,
        "result": result,
        "log": [[serial, stamp(after), "message", text] for serial, (after, text) in enumerate(log)],
        "start_timestamp": stamp(start),
        "exec_timestamp": stamp(start),
        "end_timestamp": stamp(end),
        "priority": 0,
    }
    return json.dumps(
        {
            "id": number,
            "ops": [op],
            "received_timestamp": stamp(received),
            "start_timestamp": stamp(start),
            "end_timestamp": stamp(end),
        }
    )


def jobs() -> dict[str, Piece]:
    add = {"instance_name": "web1.vc", "disk_template": "file", "osparams_private": {"key": "of the house"}}
    texts = {
        7: job(
            7,
            "OP_INSTANCE_CREATE",
            "success",
            at=(0.6, 0.8, 3.4),
            log=((1.0, "* creating instance disks..."), (1.9, "adding instance web1.vc to cluster config")),
            **add,
        ),
        8: job(
            8,
            "OP_INSTANCE_MIGRATE",
            "error",
            at=(4.0, 4.2, 7.6),
            result=["OpExecError", ["Could not migrate instance web1.vc: noded did not answer"]],
            log=((4.9, "Migrating instance web1.vc"), (7.3, "Migration failed, aborting")),
            instance_name="web1.vc",
        ),
        9: job(9, "OP_CLUSTER_VERIFY_CONFIG", "waiting", at=(8.5, 8.6, None)),
    }
    return {f"node1.vc/var/lib/ganeti/queue/job-{number}": piece(text) for number, text in texts.items()}


def logs() -> dict[str, Piece]:
    folder = "var/log/ganeti"
    noded = {
        node: "".join(
            rpc(after + offset, name)
            for after, name in (
                (0.7, "jobqueue_update"),
                (1.2, "blockdev_create"),
                (2.0, "write_ssconf_files"),
                (2.2, "upload_file_single"),
                (4.3, "jobqueue_update"),
                (5.0, "instance_info"),
                (7.5, "jobqueue_update"),
            )
        )
        for offset, node in zip((0.0, 0.15, 0.3), NODES)
    }
    noded["node2.vc"] += python_line(5.4, "ganeti-noded", "Received signal 15 asking for shutdown")
    noded["node2.vc"] += python_line(6.3, "ganeti-noded", "ganeti-noded daemon startup", pid=140)
    luxid = "".join(
        haskell_line(after, "ganeti-luxid", text, level)
        for after, text, level in (
            (0.61, "New jobs enqueued: 7", "INFO"),
            (3.42, "Finished jobs: (7,JOB_STATUS_SUCCESS)", "INFO"),
            (7.62, "Finished jobs: (8,JOB_STATUS_ERROR)", "INFO"),
            (9.0, "Starting jobs 9 failed: no process", "WARNING"),
        )
    )
    traceback = (
        'Traceback (most recent call last):\n  File "mcpu.py", line 1\nganeti.errors.OpExecError: <b>no</b>\n'
    )
    return {
        **{f"{node}/{folder}/node-daemon.log": piece(text) for node, text in noded.items()},
        f"node1.vc/{folder}/luxi-daemon.log": piece(luxid, BEGAN + 9.0),
        f"node1.vc/{folder}/wconf-daemon.log": piece(
            haskell_line(0.1, "ganeti-wconfd", f"token {SECRET} seen")
        ),
        f"node1.vc/{folder}/jobs.log": piece(
            python_line(4.9, "job-8", "Op 1/1: opcode INSTANCE_MIGRATE(web1.vc) waiting for locks", pid=300)
            + python_line(7.5, "job-8", "Op 1/1: Caught exception", "ERROR", pid=300)
            + traceback
        ),
        f"node2.vc/{folder}/os/add-dd-web1.log": piece("copying\ndone\n", BEGAN + 2.5),
    }


def config(**cluster: Any) -> bytes:
    nodes = {f"uuid-{name}": {"name": name, "serial_no": 1} for name in NODES}
    return json.dumps({"cluster": {"serial_no": 3, "tags": [], **cluster}, "nodes": nodes}).encode()


def evidence(**changes: Any) -> Evidence:
    remains = Remains(
        root=Path("/tmp/gvc-1000/1f2e3d4c"),
        logs=logs(),
        jobs=jobs(),
        configs={"node1.vc/var/lib/ganeti/config.data": piece(config(tags=["new"]).decode())},
        others={"keeper.log": piece(f"{KEY_LINE}\n")},
        secrets=frozenset({SECRET, KEY_LINE}),
    )
    known: dict[str, Any] = {
        "name": "cluster.vc",
        "facts": ("a cluster of 3 nodes, Ganeti 3.0.2, engine loopback",),
        "nodes": NODES,
        "master": "node1.vc",
        "began": BEGAN,
        "ended": ENDED,
        "remains": remains,
        "config_before": config(),
        "faults": (
            SeenFault(what="node2.vc: ganeti-noded stopped", began=BEGAN + 5.3, lifted=BEGAN + 6.4),
            SeenFault(what="node1.vc, node3.vc are cut off", began=BEGAN + 8.0, lifted=None, in_force=True),
        ),
        "commands": (
            RanCommand(
                "node1.vc", ("gnt-instance", "add", "web1"), BEGAN + 0.4, BEGAN + 3.6, 0, output="ok\n"
            ),
            RanCommand(
                "node1.vc", ("gnt-instance", "migrate", "web1"), BEGAN + 3.8, BEGAN + 7.8, 1, output=PASSWORD
            ),
            RanCommand("node1.vc", ("gnt-cluster", "verify"), BEGAN + 8.3, ENDED, -15, timed_out=True),
        ),
        "dead": (DeadDaemon("node1.vc", "luxid", "200"),),
        "locks": LockTable((Lock("cluster/BGL", "shared", ("job 8",), ("job 9 (exclusive)",)),), "wconfd"),
        "passwords": (("vcluster", PASSWORD),),
    }
    return Evidence(**{**known, **changes})


def failure(error: BaseException | None = None, **changes: Any) -> Failure:
    known: dict[str, Any] = {
        "name": "tests/test_web.py::test_migrates",
        "phase": "call",
        "error": error,
        "text": f"def test_migrates():\n>   assert 1 == 2 </script> {PASSWORD}",
        "crash": "AssertionError: assert 1 == 2\n  more of it",
        "place": "tests/test_web.py:12: assert 1 == 2",
    }
    return Failure(**{**known, **changes})
