"""A cluster that stays, used by hand: shells, logs, status, faults, snapshots. One cluster for all of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.cluster.faults.ledger import Ledger
from pytest_ganeti_vcluster.cluster.running.finding import running_clusters
from pytest_ganeti_vcluster.keeper.client import Keeper
from tests.cli.commands import PROGRAM, folder_of_clusters, run_command
from tests.cli.terminal import Terminal

_TIMEOUT = 60.0


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder with one cluster in it, called dev."""
    with folder_of_clusters("gvk-") as base:
        up = run_command(base, "up", "--nodes", "2")
        assert up.returncode == 0, up.stderr
        yield base


@pytest.fixture(autouse=True)
def _healed(base: Path) -> Iterator[None]:
    yield
    if Ledger(running_clusters(base)[0].root).entries():
        done(base, "fault", "lift", "dev", "--all")


def run_inside(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which is quicker; one that runs on a node has input and output of its own."""
    if arguments[0] == "exec":
        return run_command(base, *arguments)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCLUSTER_ROOT", str(base))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            returncode = main(arguments)
    return subprocess.CompletedProcess(arguments, returncode, out.getvalue(), err.getvalue())


def done(base: Path, *arguments: str) -> str:
    """Run a command that has to succeed; what it printed."""
    result = run_inside(base, *arguments)
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


def refused(base: Path, *arguments: str) -> str:
    """Run a command that has to be refused; what it said."""
    result = run_inside(base, *arguments)
    assert result.returncode == 2, result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    return result.stderr


def status(base: Path) -> dict[str, Any]:
    result = run_inside(base, "status", "dev", "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == (1 if found["problem"] else 0)
    return found


def state_of(base: Path, node: str) -> str:
    states: dict[str, str] = {one["name"]: one["state"] for one in status(base)["nodes"]}
    return states[node]


def user_environment(base: Path) -> dict[str, str]:
    return {**os.environ, "VCLUSTER_ROOT": str(base)}


def wait_until(what: str, look: Any) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


# Shells and commands


def test_a_shell_without_a_terminal_reads_commands(base: Path) -> None:
    result = run_command(base, "shell", "dev", "node2", stdin="hostname\ngnt-cluster getmaster\nexit 7\n")
    assert (result.stdout, result.returncode) == ("node2.vc\nnode1.vc\n", 7)
    # The master, and by the cluster's folder.
    [one] = running_clusters(base)
    assert run_command(base, "shell", one.root.name, stdin="hostname").stdout == "node1.vc\n"


def test_a_shell_on_a_terminal(base: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "HISTFILE": str(tmp_path / "history")}
    with Terminal([*PROGRAM, "shell", "dev", "node2"], {**user_environment(base), **home}) as terminal:
        before = terminal.settings()
        terminal.wait_for("[dev] root@node2:~# ")
        terminal.type("gnt-cluster getmaster; echo $((6*7)); stty size\n")
        shown = terminal.wait_for("# ")
        assert all(f"{text}\r\n" in shown for text in ("node1.vc", "42", "40 150"))
        terminal.resize(50, 120)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.type("stty size\n")
        terminal.wait_for("50 120")
        # Ctrl-C ends what runs, and not the shell. It comes when the terminal is the command's: between two commands,
        # bash itself has it, and what is typed next may be lost.
        terminal.type("sh -c 'echo begun; exec sleep 1000'; echo went $((1+1))\n")
        terminal.wait_for("begun\r\n")
        terminal.type("\x03")
        terminal.wait_for("# ")
        terminal.type("exit 9\n")
        assert terminal.wait_ended() == 9
        assert "went 2" not in terminal.seen
        assert terminal.settings() == before
    assert list(tmp_path.iterdir()) == []
    assert "sleep 1000" in run_command(base, "shell", "dev", "node2", stdin="cat ~/.bash_history").stdout


def test_what_a_command_leaves_running_is_of_the_cluster(base: Path) -> None:
    [one] = running_clusters(base)
    done(base, "exec", "dev", "sh", "-c", "sleep 999 >/dev/null 2>&1 &")
    with Keeper.connect(one.root) as keeper:
        [left] = [process for process in keeper.processes() if process.argv[-1:] == ("999",)]
        keeper.signal(left.identity, signal.SIGKILL)


def test_a_command_ends_with_who_has_asked_for_it(base: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "exec", "dev", "sh", "-c", "echo begun; exec sleep 998"],
        env=user_environment(base),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(_TIMEOUT) == 130
    [one] = running_clusters(base)

    def has_ended() -> bool:
        with Keeper.connect(one.root) as keeper:
            return not [process for process in keeper.processes() if process.argv[-1:] == ("998",)]

    wait_until("the command goes on", has_ended)


def test_statuses_of_commands(base: Path) -> None:
    assert run_command(base, "exec", "dev", "no-such-command").returncode == 127
    assert run_command(base, "exec", "dev", "sh", "-c", "kill -9 $$").returncode == 128 + 9
    assert run_command(base, "exec", "dev", "cat", stdin="passed on").stdout == "passed on"


# Looking


def test_status_tells_all(base: Path) -> None:
    add = ["gnt-instance", "add", "-t", "diskless", "-o", "dd+default", "-n", "node2.vc", "--no-name-check"]
    done(base, "exec", "dev", *add, "--no-ip-check", "web1.vc")
    found = status(base)
    assert (found["name"], found["master"], found["problem"]) == ("dev", "node1.vc", "")
    first, second = found["nodes"]
    assert (first["state"], first["role"], first["holds_master_ip"]) == ("on", "master", True)
    assert (second["state"], second["role"], second["holds_master_ip"]) == ("on", "master candidate", False)
    assert {"noded", "wconfd", "luxid", "rapi"} <= set(first["daemons"])
    assert "luxid" not in second["daemons"]
    assert 0 < second["memory_free"] <= second["memory_total"]
    [instance] = found["instances"]
    assert (instance["name"], instance["primary"], instance["status"]) == ("web1.vc", "node2.vc", "running")
    done(base, "fault", "exhaust-jobs", "dev")
    found = status(base)
    [job] = found["jobs"]
    assert (job["summary"].partition("(")[0], job["status"]) == ("TEST_DELAY", "running")
    assert abs(job["since"] - time.time()) < 600
    [fault] = found["faults"]
    assert "places for running jobs" in fault["what"]
    table = done(base, "status", "dev")
    for text in ("web1.vc", "running", "TEST_DELAY", fault["what"], "master, master IP"):
        assert text in table
    done(base, "fault", "lift", "dev", "--all")
    assert "No jobs, no faults." in done(base, "status", "dev", "--once")
    done(base, "exec", "dev", "gnt-instance", "remove", "-f", "web1.vc")


def test_status_follows_on_a_terminal(base: Path) -> None:
    argv = [*PROGRAM, "status", "dev", "--interval", "0.2"]
    with Terminal(argv, user_environment(base)) as terminal:
        terminal.wait_for("No instances, no jobs, no faults.")
        done(base, "fault", "freeze", "dev", "node2")
        terminal.wait_for("node2.vc: frozen")
        done(base, "fault", "lift", "dev", "--all")
        terminal.wait_for("no faults.")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait_ended() == 0


def test_a_narrow_terminal_shows_folders_whole(base: Path) -> None:
    root = running_clusters(base)[0].root
    with Terminal([*PROGRAM, "list"], user_environment(base), columns=40) as terminal:
        assert terminal.wait_ended() == 0
        assert str(root) in terminal.seen


def test_logs_are_merged_and_filtered(base: Path) -> None:
    done(base, "exec", "dev", "gnt-cluster", "info")
    lines = [line for line in done(base, "logs", "dev").splitlines() if line.startswith("20")]
    assert lines == sorted(lines, key=lambda line: line[:26])
    assert {"node1", "node2"} <= {line.split()[2] for line in lines}
    assert {"noded:", "luxid:"} <= {line.split()[3] for line in lines}
    some = done(base, "logs", "dev", "--node", "node2", "--daemon", "noded", "--lines", "3").splitlines()
    assert [line.split()[2:4] for line in some if line.startswith("20")] == [["node2", "noded:"]] * 3
    assert "luxid: " in done(base, "logs", "dev", "--daemon", "ganeti-luxid")


def test_logs_are_followed(base: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "logs", "dev", "-f", "-n", "0", "--node", "node2.vc"],
        env={**user_environment(base), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        path = running_clusters(base)[0].root / "node2.vc/var/log/ganeti/node-daemon.log"
        # It may not have begun to look.
        for number in range(100):
            with path.open("a", encoding="utf-8") as stream:
                stream.write(f"2026-11-21 18:56:46,123: mark {number}\n")
            if select.select([process.stdout], [], [], 0.5)[0]:
                break
        assert re.fullmatch(r"2026-11-21 18:56:46,123000 node2 noded: mark \d+\n", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(_TIMEOUT) == 0


# Harming


def test_a_crash_outlives_its_process_and_is_lifted_by_another(base: Path) -> None:
    told = done(base, "fault", "crash", "dev", "node2").splitlines()
    number = re.fullmatch(r"dev: fault (\d+): node2\.vc: crashed", told[0])
    assert number is not None
    assert told[1] == f"ganeti-vcluster fault lift dev {number[1]}"
    assert state_of(base, "node2.vc") == "crashed"
    [fault] = json.loads(done(base, "fault", "list", "dev", "--json"))
    assert (fault["number"], fault["kind"], fault["node"]) == (int(number[1]), "crashed", "node2.vc")
    assert "node2.vc: crashed already" in refused(base, "fault", "crash", "dev", "node2")
    assert done(base, "fault", "lift", "dev", number[1]) == "dev: lifted: node2.vc: crashed\n"
    assert state_of(base, "node2.vc") == "on"
    assert f"no fault {number[1]} of dev.vc" in refused(base, "fault", "lift", "dev", number[1])


@pytest.mark.parametrize(
    "begin",
    [
        ("power-off", "node2"),
        ("freeze", "node2"),
        ("kill-daemon", "node2", "noded"),
        ("stop-daemon", "node1", "rapi"),
    ],
    ids=lambda begin: begin[0],
)
def test_nodes_and_daemons_are_brought_back(base: Path, begin: tuple[str, ...]) -> None:
    before = {node["name"]: (node["state"], node["daemons"]) for node in status(base)["nodes"]}
    kind, *arguments = begin
    done(base, "fault", kind, "dev", *arguments)
    assert {node["name"]: (node["state"], node["daemons"]) for node in status(base)["nodes"]} != before
    if kind == "power-off":
        off = run_command(base, "exec", "--node", "node2", "dev", "true")
        assert (off.returncode, off.stderr) == (255, "node2.vc is switched off\n")
    done(base, "fault", "lift", "dev", "--all")
    assert {node["name"]: (node["state"], node["daemons"]) for node in status(base)["nodes"]} == before


def test_rpcs_fail_until_the_fault_is_lifted(base: Path) -> None:
    done(base, "fault", "fail-rpc", "dev", "node2", "node_info", "--text", "no such luck")
    listed = json.loads(done(base, "fault", "list", "dev", "--json"))
    assert "RPC node_info on node2.vc fails: no such luck" in [fault["what"] for fault in listed]
    assert {one["name"]: one["memory_free"] for one in status(base)["nodes"]}["node2.vc"] is None
    [number] = [str(fault["number"]) for fault in listed if fault["kind"] == "rpc"]
    done(base, "fault", "lift", "dev", number)
    # With what it needed, on a node that is a machine.
    assert json.loads(done(base, "fault", "list", "dev", "--json")) == []
    assert {one["name"]: one["memory_free"] for one in status(base)["nodes"]}["node2.vc"]


def test_files_and_clocks_are_put_right(base: Path) -> None:
    def content() -> str:
        return run_command(
            base,
            "shell",
            "dev",
            "node2",
            stdin="sha1sum < /etc/hosts; cat $GANETI_ROOTDIR/etc/ganeti/file-storage-paths",
        ).stdout

    before = content()
    done(base, "fault", "corrupt", "dev", "node2", "/etc/ganeti/file-storage-paths", "--text", "/damaged\n")
    assert "damaged" in content()
    done(base, "fault", "lift", "dev", "--all")
    assert content() == before
    done(base, "fault", "lose", "dev", "node2", "/etc/ganeti/file-storage-paths")
    done(base, "fault", "shift-clock", "dev", "node2", "--behind", "1000")
    assert len(json.loads(done(base, "fault", "list", "dev", "--json"))) >= 2
    verify = run_command(base, "exec", "dev", "gnt-cluster", "verify", "--error-codes")
    assert "ENODETIME" in verify.stdout
    done(base, "fault", "lift", "dev", "--all")
    assert content() == before


def test_the_job_queue_is_drained(base: Path) -> None:
    done(base, "fault", "drain-jobs", "dev")
    submitted = run_command(base, "exec", "dev", "gnt-cluster", "add-tags", "drained")
    assert submitted.returncode
    assert "drained" in submitted.stderr
    done(base, "fault", "lift", "dev", "--all")
    done(base, "exec", "dev", "gnt-cluster", "add-tags", "drained")
    done(base, "exec", "dev", "gnt-cluster", "remove-tags", "drained")


def test_a_fault_that_is_held_ends_with_its_command(base: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "fault", "freeze", "dev", "node2", "--hold"],
        env={**user_environment(base), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while "In force until Ctrl-C." not in process.stdout.readline():
            assert process.poll() is None
        assert state_of(base, "node2.vc") == "frozen"
        process.send_signal(signal.SIGINT)
        assert process.wait(_TIMEOUT) == 0
        assert process.stdout.read() == "dev: lifted: node2.vc: frozen\n"
    assert state_of(base, "node2.vc") == "on"


def test_the_network_is_cut_where_the_engine_can(base: Path) -> None:
    cut = run_command(base, "fault", "partition", "dev", "node1", "node2")
    if status(base)["engine"] == "loopback":
        assert cut.returncode == 1
        assert "engine 'loopback' cannot do partition()" in cut.stderr
        assert "ganeti-vcluster up --engine namespaces" in cut.stderr
        assert "pytest.mark" not in cut.stderr
        assert json.loads(done(base, "fault", "list", "dev", "--json")) == []
        return
    assert cut.returncode == 0, cut.stderr
    reach = ["exec", "dev", "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/node2.vc/1811"]
    assert run_command(base, *reach).returncode
    done(base, "fault", "impair", "dev", "--delay", "0.01", "--between", "node1", "node2")
    done(base, "fault", "lift", "dev", "--all")
    assert run_command(base, *reach).returncode == 0
    done(base, "fault", "fill-disk", "dev", "node2", "var")
    write = ["exec", "--node", "node2", "dev", "dd", "if=/dev/zero", "of=/var/lib/ganeti/x", "count=9999"]
    assert "No space left" in run_command(base, *write).stderr
    done(base, "fault", "lift", "dev", "--all")
    assert run_command(base, *write).returncode == 0
    done(base, "exec", "--node", "node2", "dev", "rm", "/var/lib/ganeti/x")


# Keeping and bringing back


def test_snapshots(base: Path) -> None:
    def tags() -> list[str]:
        return done(base, "exec", "dev", "gnt-cluster", "list-tags").split()

    done(base, "exec", "dev", "gnt-cluster", "add-tags", "kept")
    told = done(base, "snapshot", "dev", "tagged")
    assert re.fullmatch(r"dev: snapshot tagged, [\d.]+ MiB\nganeti-vcluster restore dev tagged\n", told)
    assert "has a snapshot 'tagged' already" in refused(base, "snapshot", "dev", "tagged")
    done(base, "exec", "dev", "gnt-cluster", "add-tags", "later")
    done(base, "fault", "crash", "dev", "node2")
    assert "faults are in force" in refused(base, "snapshot", "dev", "harmed")
    for _ in range(2):
        assert done(base, "restore", "dev", "tagged").startswith("dev: as it was at snapshot tagged (")
        assert tags() == ["kept"]
        assert status(base)["faults"] == []
        assert state_of(base, "node2.vc") == "on"
        done(base, "exec", "dev", "gnt-cluster", "add-tags", "later")
    assert "tagged" in done(base, "snapshot", "dev")
    [one] = json.loads(done(base, "snapshot", "dev", "--json"))
    assert one["name"] == "tagged"
    assert one["size"] > 0
    assert done(base, "snapshot", "dev", "tagged", "--remove") == "dev: snapshot tagged is removed\n"
    assert done(base, "snapshot", "dev") == "No snapshots.\n"
    assert "has no snapshot 'tagged'" in refused(base, "restore", "dev", "tagged")
    done(base, "exec", "dev", "gnt-cluster", "remove-tags", "kept", "later")


# What cannot be


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("shell", "other"), ["no cluster 'other' runs", "running: dev ("]),
        (("shell", "dev", "node7"), ["dev has no node 'node7'", "node1.vc, node2.vc"]),
        (("status", "other"), ["no cluster 'other' runs"]),
        (("logs", "dev", "--node", "node7"), ["dev has no node 'node7'", "node1.vc, node2.vc"]),
        (("logs", "dev", "--daemon", "lxuid"), ["no daemon or log 'lxuid'", "luxid"]),
        (("fault", "crash", "other", "node1"), ["no cluster 'other' runs"]),
        (("fault", "crash", "dev", "node7"), ["dev has no node 'node7'"]),
        (("fault", "kill-daemon", "dev", "node1", "masterd"), ["no such daemon", "luxid"]),
        (("fault", "fail-rpc", "dev", "node1", "instance_begin"), ["has no RPC 'instance_begin'"]),
        (("fault", "shift-clock", "dev", "node2"), ["--ahead or --behind"]),
        (("fault", "shift-clock", "dev", "node1", "--ahead", "9"), ["is the master"]),
        (("fault", "corrupt", "dev", "node2", "/no/such"), ["has no file /no/such"]),
        (("fault", "delay-rpc", "dev", "node2", "node_info", "0"), ["seconds is 0"]),
        (("fault", "fill-disk", "dev", "node2", "other"), ["file-storage", "var"]),
        (("fault", "lift", "dev"), ["--all"]),
        (("fault", "lift", "dev", "999"), ["no fault 999 of dev.vc"]),
        (("fault", "explode", "dev"), ["explode"]),
        (("snapshot", "dev", "../x"), ["cannot name a snapshot"]),
        (("snapshot", "dev", "--remove"), ["Name the snapshot"]),
        (("restore", "dev", "never"), ["has no snapshot 'never'", "it has: none"]),
        (("completion", "tcsh"), ["bash"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_and_changes_nothing(
    base: Path, arguments: tuple[str, ...], told: list[str]
) -> None:
    root = running_clusters(base)[0].root
    before = Ledger(root).entries()
    said = refused(base, *arguments)
    for text in told:
        assert text in said
    assert Ledger(root).entries() == before


# Shells that complete


def complete(base: Path, line: str) -> list[str]:
    """Ask bash what it completes a line to, with the script that is documented."""
    shim = base / "bin" / "ganeti-vcluster"
    if not shim.exists():
        shim.parent.mkdir()
        quoted = " ".join(f"'{word}'" for word in PROGRAM)
        shim.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
    script = """
eval "$(ganeti-vcluster completion bash)"
COMP_WORDS=($1); [ "${1% }" = "$1" ] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_ganeti_vcluster_completion ganeti-vcluster
printf '%s\\n' "${COMPREPLY[@]}"
"""
    result = subprocess.run(
        ["bash", "-c", script, "bash", line],
        env={**user_environment(base), "PATH": f"{shim.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=_TIMEOUT,
    )
    return result.stdout.split()


def test_names_are_completed(base: Path) -> None:
    assert {"scale", "shell", "snapshot", "status"} == set(complete(base, "ganeti-vcluster s"))
    assert complete(base, "ganeti-vcluster exec d") == ["dev"]
    assert complete(base, "ganeti-vcluster shell dev ") == ["node1", "node2"]
    assert complete(base, "ganeti-vcluster logs dev --daemon wc") == ["wconfd"]
    assert complete(base, "ganeti-vcluster fault kill-daemon dev node2 nod") == ["noded"]
    assert complete(base, "ganeti-vcluster fault partition dev node1,n") == ["node1,node1", "node1,node2"]
    done(base, "snapshot", "dev", "some")
    assert complete(base, "ganeti-vcluster restore dev ") == ["some"]
    done(base, "snapshot", "dev", "some", "--remove")
    done(base, "fault", "freeze", "dev", "node2")
    [fault] = status(base)["faults"]
    assert complete(base, "ganeti-vcluster fault lift dev ") == [str(fault["number"])]
    assert complete(base, "ganeti-vcluster shell nobody ") == []


# One of a name. It is dev here, too, in another folder: of that there is an image.


@pytest.fixture
def other_base() -> Iterator[Path]:
    with folder_of_clusters("gvk-") as base:
        yield base


def test_of_two_that_start_one_of_a_name_one_succeeds_and_when_it_is_killed_the_name_is_free(
    base: Path, other_base: Path
) -> None:
    del base
    argv = [*PROGRAM, "up", "--nodes", "2"]
    both = [
        subprocess.Popen(
            argv, env=user_environment(other_base), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=900)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    assert any("a cluster called 'dev'" in text for text in said)
    [one] = running_clusters(other_base)

    kill_keeper(one.root)
    [found] = json.loads(done(other_base, "list", "--json"))
    assert (found["name"], found["state"], found["nodes"]) == ("dev", "stale", 2)
    assert found["root"] == str(one.root)
    assert "does not run any more: its keeper" in refused(other_base, "exec", "dev", "true")
    # The next that wants the name reaps it; or gc does.
    up = run_command(other_base, "up", "--nodes", "2")
    assert up.returncode == 0, up.stderr
    kill_keeper(one.root)
    assert str(one.root) in done(other_base, "gc", "--image-cache", "off")
    assert not one.root.exists()
    assert json.loads(done(other_base, "list", "--json")) == []


def kill_keeper(root: Path) -> None:
    keeper = Keeper.connect(root)
    for identity in (keeper.guardian, keeper.identity):
        identity.signal(signal.SIGKILL)
        assert identity.wait_gone(5)
    keeper.close()
