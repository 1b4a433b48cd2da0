"""Programs forked from the fork server are as those that are started without it."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import attrs
import psutil
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.farm import build_farm
from pytest_ganeti_vcluster.ganeti.fork_server import start_fork_server
from pytest_ganeti_vcluster.settings import Settings
from tests.live.both_ways import IS_FORKED, BothWays

pytestmark = pytest.mark.only_on("loopback", "the fork server is for Ganeti as it is adapted")

_PATIENCE = 30.0

#: Bytes of a noded that nobody shares; by itself it takes 29 MB.
_MOST_OF_ITS_OWN = 9_000_000


@pytest.fixture(scope="module")
def home() -> Iterator[VirtualCluster]:
    with build_cluster(ClusterSpec(nodes=1), Settings.read()) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def state(home: VirtualCluster) -> BothWays:
    return BothWays.of(
        home, "state", Path(__file__).with_name("process_state.py").read_text(encoding="utf-8")
    )


_CIRCUMSTANCES = {
    "as it comes": 'exec "$PROGRAM" one "two words" ""',
    "not the first": '"$PROGRAM" one; exit $?',
    "by link": 'ln -sf "$PROGRAM" linked; exec ./linked',
    "umask": 'umask 027; exec "$PROGRAM"',
    "folder": 'mkdir -p deep/er; cd deep/er; exec "$PROGRAM"',
    "folder that is gone": 'mkdir -p gone; cd gone; rmdir ../gone; exec "$PROGRAM"',
    "limits": 'ulimit -Sn 300; ulimit -Sc 0; ulimit -St 1000; ulimit -Hu $(ulimit -u); exec "$PROGRAM"',
    "few descriptors": 'ulimit -n 64; exec "$PROGRAM"',
    "niceness": 'exec nice -n 5 "$PROGRAM"',
    "one processor": 'exec taskset -c 0 "$PROGRAM"',
    "ignored signals": "trap '' HUP TERM USR1 INT; exec \"$PROGRAM\"",
    "further descriptors": 'exec 3</etc/passwd 9>/dev/null 77<>/dev/zero; exec "$PROGRAM"',
    "no stdin": 'exec "$PROGRAM" <&-',
    "no stderr": 'exec "$PROGRAM" 2>&-',
    "from a pipe": 'echo hello | "$PROGRAM"',
    "into a pipe": '"$PROGRAM" 2>&1 | cat',
    "into a file": 'echo before > out; "$PROGRAM" >> out; tail -n 1 out',
    "variables": 'export MORE="$(printf "a\\nb")" EMPTY=""; unset LOGNAME; exec "$PROGRAM"',
    "large environment": 'export LARGE="$(head -c 100000 /dev/zero | tr "\\0" x)"; exec "$PROGRAM"',
    "many arguments": 'exec "$PROGRAM" $(seq 5000)',
    "session of its own": 'exec setsid -w "$PROGRAM"',
}


@pytest.mark.parametrize(
    "script", _CIRCUMSTANCES.values(), ids=[name.replace(" ", "-") for name in _CIRCUMSTANCES]
)
def test_it_sees_the_same(state: BothWays, script: str) -> None:
    forked, plain = (state.told(result) for result in state.run_in_shell(script))
    assert (forked.pop("forked"), plain.pop("forked")) == (True, False)
    assert forked["process"] == plain["process"]
    assert forked["interpreter"] == plain["interpreter"]


_ENDINGS = {
    "return": "print('done')",
    "status": "sys.exit(3)",
    "large status": "sys.exit(300)",
    "negative status": "sys.exit(-1)",
    "no status": "sys.exit(None)",
    "text": "sys.exit('a text')",
    "other object": "sys.exit({'a': 1})",
    "error": "def inner():\n    raise ValueError('wrong')\ninner()",
    "chained error": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('more') from error",
    "interrupt": "raise KeyboardInterrupt",
    "no such module": "import ganeti.nothing",
    "syntax": "eval('1 +')",
    "at once": "print('lost'); os._exit(7)",
    "signal": "os.kill(os.getpid(), signal.SIGTERM); signal.pause()",
    "kill": "os.kill(os.getpid(), signal.SIGKILL); signal.pause()",
    "abort": "os.abort()",
    "exit functions": "import atexit\natexit.register(print, 'first registered')\natexit.register(print, 'second')",
    "failing exit function": "import atexit\natexit.register(lambda: 1 / 0)\natexit.register(print, 'second')",
    "threads": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.3), print('late'))).start()",
    "daemon thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "file left open": "left = open(sys.argv[1], 'w')\nleft.write('in the buffer')",
    "object left": "class Left:\n    def __del__(self):\n        os.write(1, b'gone')\nleft = Left()",
    "temporary files": "import tempfile\nleft = tempfile.NamedTemporaryFile()\nfolder = tempfile.TemporaryDirectory()",
    "both streams": "print('out'); print('err', file=sys.stderr); sys.stdout.write('no end')",
    "much": "sys.stdout.write('x' * 5_000_000); sys.stderr.write('y' * 100_000)",
    "child": "pid = os.fork()\nprint('child' if pid == 0 else os.waitpid(pid, 0)[1])",
    "other program": "sys.stdout.flush(); os.execv('/bin/echo', ['echo', 'from another'])",
    "closed stdout": "sys.stdout.close()",
    "full": "sys.stdout = open('/dev/full', 'w'); print('nowhere')",
    "input": "print(sys.stdin.read()[::-1])",
}


@pytest.mark.parametrize("ending", _ENDINGS, ids=[name.replace(" ", "-") for name in _ENDINGS])
def test_it_ends_the_same(home: VirtualCluster, ending: str) -> None:
    ways = BothWays.of(home, "ending", f"import os, signal, sys\nforked = {IS_FORKED}\n{_ENDINGS[ending]}\n")
    left = home.root / "left"
    results = []
    for stub in (ways.forked, ways.plain):
        result = home.run(stub, str(left), check=False, stdin="some input")
        content = left.read_text(encoding="utf-8") if left.exists() else None
        left.unlink(missing_ok=True)
        stderr = re.sub("0x[0-9a-f]+", "0x", result.stderr)
        results.append((result.returncode, result.stdout, stderr, content))
    assert results[0] == results[1]
    assert not list((home.master.root / "tmp").glob("tmp*"))


def test_it_notices_that_nobody_reads(home: VirtualCluster) -> None:
    ways = BothWays.of(
        home, "talker", "print('x' * 10)\nprint('y' * 10)\nimport sys; sys.stdout.flush; print('z' * 99999)\n"
    )
    forked, plain = ways.run_in_shell('"$PROGRAM" | head -c 5; echo " ${PIPESTATUS[0]}"')
    assert (forked.stdout, forked.stderr) == (plain.stdout, plain.stderr)


_SLEEPER = """\
import os, signal, sys, time
def handle(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(5)
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), handle)
with open(sys.argv[1] + ".new", "w") as stream:
    stream.write(f"{os.getpid()} {os.getppid()}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    time.sleep(60)
"""


def _until(what: Callable[[], Any], why: str) -> Any:
    deadline = time.monotonic() + _PATIENCE
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(0.01)
    return found


class _Running:
    """A program that runs on its own: `client` is what was started, `program` the pid that it told."""

    def __init__(self, cluster: VirtualCluster, stub: str, *arguments: str) -> None:
        self._told = cluster.root / "told"
        self._told.unlink(missing_ok=True)
        self.output = cluster.root / "output"
        self.output.unlink(missing_ok=True)
        node = cluster.master.boot_node
        self.client = cluster.parts.keeper.spawn(
            [stub, str(self._told), *arguments], stdout=self.output, env=node.shell.environment
        )
        _until(self._told.exists, "it did not begin")
        self.program, self.parent = map(int, self._told.read_text(encoding="ascii").split())

    def has_told(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.output.read_text(encoding="utf-8")


@pytest.fixture
def sleeper(home: VirtualCluster) -> BothWays:
    return BothWays.of(home, "sleeper", _SLEEPER)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGRTMIN"])
def test_signals_reach_it(sleeper: BothWays, name: str) -> None:
    ends = []
    for stub in (sleeper.forked, sleeper.plain):
        running = _Running(sleeper.cluster, stub)
        running.client.signal(getattr(signal, name))
        ends.append((running.client.wait(_PATIENCE), running.output.read_text(encoding="utf-8")))
        assert not psutil.pid_exists(running.program)
    assert ends[0] == ends[1]
    assert ends[0][0] == -getattr(signal, name)


def test_it_handles_signals(sleeper: BothWays) -> None:
    ends = []
    for stub in (sleeper.forked, sleeper.plain):
        running = _Running(sleeper.cluster, stub, "SIGUSR1", "SIGHUP", "SIGWINCH", "SIGTERM")
        for name in ("SIGUSR1", "SIGHUP", "SIGWINCH", "SIGTERM"):
            running.client.signal(getattr(signal, name))
            _until(running.has_told(name), f"no {name}")
        ends.append((running.client.wait(_PATIENCE), running.output.read_text(encoding="utf-8")))
    assert ends[0] == ends[1]
    assert ends[0][0] == 5


def test_killed_itself_so_is_its_client(sleeper: BothWays) -> None:
    running = _Running(sleeper.cluster, sleeper.forked)
    assert running.program != running.client.pid
    os.kill(running.program, signal.SIGKILL)
    assert running.client.wait(_PATIENCE) == -signal.SIGKILL


def test_its_client_killed_so_is_it(sleeper: BothWays) -> None:
    running = _Running(sleeper.cluster, sleeper.forked, "SIGTERM")
    running.client.signal(signal.SIGKILL)
    _until(lambda: not psutil.pid_exists(running.program), "the program goes on")


def test_its_guard_killed_so_are_both(sleeper: BothWays) -> None:
    running = _Running(sleeper.cluster, sleeper.forked, "SIGTERM")
    assert psutil.Process(running.parent).name() == "fork-guard"
    os.kill(running.parent, signal.SIGKILL)
    assert running.client.wait(_PATIENCE) == -signal.SIGKILL
    _until(lambda: not psutil.pid_exists(running.program), "the program goes on")


_PARENT = """\
import os, subprocess, sys, time
for more in ({}, {"start_new_session": True}):
    subprocess.Popen(["sleep", "4242"], **more)
if sys.argv[1:] == ["ends"]:
    sys.exit(0)
time.sleep(4242)
"""


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_time_out_ends_all_that_is_below_it(home: VirtualCluster, *, stubborn: bool) -> None:
    text = (
        _PARENT
        if not stubborn
        else "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + _PARENT
    )
    ways = BothWays.of(home, "parent", text)
    for result in ways.run(timeout=1.0):
        assert result.timed_out
    _until(
        lambda: not [one for one in home.parts.keeper.processes() if "4242" in one.argv],
        "something below the program goes on",
    )


def test_what_it_leaves_in_the_background_stays(home: VirtualCluster) -> None:
    ways = BothWays.of(home, "parent", _PARENT)
    for result in ways.run("ends"):
        assert result.returncode == 0
    left = [one for one in home.parts.keeper.processes() if "4242" in one.argv]
    assert len(left) == 4
    for one in left:
        os.kill(one.pid, signal.SIGKILL)


def test_when_it_has_ended_nothing_of_it_is_left(home: VirtualCluster) -> None:
    ways = BothWays.of(home, "who", _WHO)
    for _attempt in range(20):
        home.run(ways.forked)
        assert "fork-guard" not in {one.name for one in home.parts.keeper.processes()}


def test_many_at_once(home: VirtualCluster) -> None:
    ways = BothWays.of(home, "echo", f"import sys\nassert {IS_FORKED}\nprint(sys.argv[1])\n")
    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        results = list(pool.map(lambda number: home.run(ways.forked, str(number)).stdout, range(50)))
    assert results == [f"{number}\n" for number in range(50)]


def test_it_knows_its_node_as_if_ganeti_had_been_loaded_there(home: VirtualCluster) -> None:
    program = Path(__file__).with_name("reachable_texts.py").read_text(encoding="utf-8")
    ways = BothWays.of(home, "texts", program)
    forked, plain = (ways.told(result) for result in ways.run())
    different = sorted(name for name in forked.keys() | plain.keys() if forked.get(name) != plain.get(name))
    if different:
        modules = {name.rpartition(".")[0] for name in different}
        forked, plain = (ways.told(result) for result in ways.run(*modules))
    assert {name: forked.get(name) for name in different} == {name: plain.get(name) for name in different}
    assert any(home.master.name in text for text in json.dumps(plain).split()) or not different


def test_users_and_names_are_the_nodes_own(home: VirtualCluster) -> None:
    text = """
        import os, pwd, grp, socket
        print(pwd.getpwnam("root"), grp.getgrnam("gnt-masterd"), socket.gethostname())
        print(os.path.expanduser("~root"), socket.gethostbyname("instance7.vc"))
    """
    ways = BothWays.of(home, "names", dedent(text))
    forked, plain = ways.run()
    assert (forked.returncode, forked.stdout) == (plain.returncode, plain.stdout)
    assert str(home.master.root) in plain.stdout


_WHO = f"import os, sys\nprint({IS_FORKED})\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VCLUSTER_WITHOUT", "node-report"),
        ("PYTHONHASHSEED", "1"),
        ("LC_ALL", "de_DE.UTF-8"),
        ("LD_LIBRARY_PATH", "/nowhere"),
        ("GANETI_HOSTNAME", "other.vc"),
        ("NSS_WRAPPER_HOSTS", "/dev/null"),
        ("VCLUSTER_FORK_SOCKET", "/nowhere"),
        ("VCLUSTER_FORK_SOCKET", ""),
    ],
)
def test_what_cannot_be_imitated_is_started_as_ever(home: VirtualCluster, variable: str, value: str) -> None:
    ways = BothWays.of(home, "who", _WHO)
    forked, _plain = ways.run()
    assert forked.stdout == "True\n"
    # Where adapting fails, as with the name of another node, it fails without the server.
    different, plain = ways.run(env={variable: value})
    assert different.stdout == plain.stdout == "False\n"


def test_variables_of_no_consequence_do_not_matter(home: VirtualCluster) -> None:
    ways = BothWays.of(home, "who", _WHO)
    for variables in ({"LC_ALL": "C"}, {"LANG": "C"}, {"LANG": ""}, {"TZ": "Asia/Tokyo"}, {"HOME": "/"}):
        forked, _plain = ways.run(env=variables)
        assert forked.stdout == "True\n", variables


def test_on_a_terminal_it_is_started_as_ever(home: VirtualCluster) -> None:
    ways = BothWays.of(home, "who", _WHO)
    result = home.run("script", "-qec", ways.forked, "/dev/null")
    assert result.stdout.strip() == "False"


def test_jobs_are_forked_and_can_be_cancelled(home: VirtualCluster) -> None:
    op = {"OP_ID": "OP_TEST_DELAY", "duration": 4242, "on_master": True, "on_nodes": [], "repeat": 0}
    job = home.submit(op)
    path = home.master.path(f"/var/lib/ganeti/queue/job-{job.id}")
    pid = _until(lambda: json.loads(path.read_text(encoding="utf-8")).get("process_id"), "it has no process")
    _until(lambda: job.status == "running", "it does not run")
    process = psutil.Process(pid)
    assert psutil.Process(process.ppid()).name() == "fork-guard"
    assert process.cmdline()[1:] == [str(home.parts.farm.lib / "job"), str(job.id)]
    # With SIGKILL, as `gnt-job cancel --kill` does (lib/luxi.py, CancelJob).
    home.run("gnt-job", "cancel", "--kill", "--yes-do-it", str(job.id), check=False)
    _until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "it goes on")
    _until(lambda: job.status in {"error", "canceled"}, "nobody noticed")


def test_a_waiting_job_is_cancelled(home: VirtualCluster) -> None:
    # Both want the lock of the node.
    op = {"OP_ID": "OP_TEST_DELAY", "duration": 4242, "on_nodes": [home.master.name], "no_locks": False}
    first = home.submit(op)
    try:
        _until(lambda: first.status == "running", "it does not run")
        second = home.submit(op)
        path = home.master.path(f"/var/lib/ganeti/queue/job-{second.id}")
        _until(lambda: json.loads(path.read_text(encoding="utf-8")).get("process_id"), "it has no process")
        assert second.status == "waiting"
        second.cancel()
        _until(lambda: second.status == "canceled", "it was not cancelled")
    finally:
        home.run("gnt-job", "cancel", "--kill", "--yes-do-it", str(first.id), check=False)
    _until(lambda: first.status in {"error", "canceled"}, "nobody noticed")


def test_daemons_are_forked_and_are_what_daemon_util_expects(home: VirtualCluster) -> None:
    daemon_util = str(home.parts.farm.daemon_util)
    before = home.master.daemon("noded").pid
    home.run(daemon_util, "check", "ganeti-noded")
    home.run(daemon_util, "stop", "ganeti-noded")
    assert home.master.daemon("noded").pid is None
    home.run(daemon_util, "start", "ganeti-noded")
    after = home.master.daemon("noded").pid
    assert after not in {None, before}
    noded = psutil.Process(after)
    assert noded.name() == "ganeti-noded"
    assert noded.cmdline()[1] == str(home.parts.farm.sbin / "ganeti-noded")
    assert noded.environ()["GANETI_HOSTNAME"] == home.master.name
    # It is the keeper's, as any daemon.
    assert noded.ppid() == home.parts.keeper.identity.pid


def test_the_cluster_verifies_clean(home: VirtualCluster) -> None:
    assert home.verify() == []


def test_that_a_noded_shares_most_of_its_memory(home: VirtualCluster) -> None:
    assert home.verify() == []
    noded = home.master.daemon("noded").pid
    assert noded is not None
    memory = psutil.Process(noded).memory_full_info()
    assert memory.uss < _MOST_OF_ITS_OWN
    assert memory.rss > 2 * _MOST_OF_ITS_OWN


def test_a_server_that_is_killed_takes_nothing_along(sleeper: BothWays) -> None:
    home = sleeper.cluster
    running = _Running(home, sleeper.forked, "SIGTERM")
    servers = [one for one in home.parts.keeper.processes() if one.name == "fork-server"]
    assert len(servers) == 1
    os.kill(servers[0].pid, signal.SIGKILL)
    ways = BothWays.of(home, "who", _WHO)
    _until(lambda: ways.run()[0].stdout == "False\n", "it is not started without the server")
    running.client.signal(signal.SIGTERM)
    assert running.client.wait(_PATIENCE) == 5
    server = start_fork_server(home.parts.keeper, home.parts.farm, home.parts.site.environment)
    _until(lambda: ways.run()[0].stdout == "True\n", "the new server does not serve")
    assert server.problem == ""


def test_a_server_that_is_not_fit_says_so_and_does_not_serve(home: VirtualCluster) -> None:
    farm = build_farm(home.ganeti, home.root / "farm2", [])
    try:
        with (farm.folder / "site/vcluster_inside/adaptations/__init__.py").open(
            "a", encoding="utf-8"
        ) as stream:
            stream.write(
                "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            )
        server = start_fork_server(home.parts.keeper, farm, home.parts.site.environment)
        problem = _until(lambda: server.problem, "it serves, or hangs")
        assert "has started a thread" in problem
        result = home.run(str(farm.sbin / "gnt-node"), "list", env=farm.environment())
        assert home.master.name in result.stdout
    finally:
        shutil.rmtree(farm.folder)


def test_it_can_be_turned_off(home: VirtualCluster) -> None:
    settings = attrs.evolve(Settings.read(), fork_server=False)
    with build_cluster(ClusterSpec(nodes=1), settings) as other:
        names = {one.name for one in other.parts.keeper.processes()}
        assert not names & {"fork-server", "fork-guard"}
        assert "VCLUSTER_FORK_SOCKET" not in other.master.boot_node.shell.environment
        for command in (
            ("gnt-node", "list"),
            ("gnt-cluster", "getmaster"),
            ("gnt-job", "nothing"),
            ("gnt-os", "list"),
        ):
            with_server, without = (cluster.run(*command, check=False) for cluster in (home, other))
            assert with_server.returncode == without.returncode
            assert re.sub(r"\d+", "N", with_server.stdout) == re.sub(r"\d+", "N", without.stdout)
            assert with_server.stderr == without.stderr
