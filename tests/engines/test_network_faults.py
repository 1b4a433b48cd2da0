"""Faults in the network of two machines without Ganeti: what passes is seen to pass, or not to, and when."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.engines.base import NodeSite
from pytest_ganeti_vcluster.engines.namespaces import control
from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.engines.network_rules import OUTSIDE, Parties, Rule, between
from pytest_ganeti_vcluster.errors import EngineUnavailable, KeeperError
from tests.engines.test_namespaces_site import MINUTE, Machines

NODES = Parties(frozenset({OUTSIDE}), others=True)
ONE, TWO = Parties(frozenset({1})), Parties(frozenset({2}))

#: What a program that waits for something else than lines ends by: when nobody has any more for it.
ENDING = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
"""

#: Echoes lines, and keeps them: in /tmp/heard.
ECHO = f"""{ENDING}
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            with open("/tmp/heard", "ab") as heard: heard.write(line)
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
with Server(("", 7), Echo) as server:
    print("ready", flush=True)
    server.serve_forever()
"""

#: For each line SECONDS TEXT it sends the text, if there is one, and tells what has come within so many seconds.
TALK = """
import select, socket, sys
peer = socket.create_connection((sys.argv[1], 7), timeout=60)
print("connected", flush=True)
for line in sys.stdin:
    patience, _, text = line.strip().partition(" ")
    if text: peer.sendall(text.encode() + b"\\n")
    readable, _, _ = select.select([peer], [], [], float(patience))
    print(peer.recv(65536).decode().strip() if readable else "silence", flush=True)
"""

#: Counts datagrams that come until one that says so.
COUNT = f"""{ENDING}
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    port.bind(("", 7))
    print("ready", flush=True)
    came = []
    while not came or came[-1] != b"end": came.append(port.recv(100))
print(*sorted({{int(one) for one in came[:-1] if one != b"end"}}), flush=True)
"""

SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
    port.connect((sys.argv[1], 7))
    for number in range(int(sys.argv[2])): port.send(b"%d" % number)
    if len(sys.argv) > 3: port.send(b"end")
"""


#: Asks whose an IP address is, and tells the hardware addresses that are answered.
WHOSE = """
import socket, struct, sys, time
own, asked = (socket.inet_aton(one) for one in sys.argv[1:])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as port:
    port.bind(("eth0", 0x0806))
    mac = port.getsockname()[4]
    port.send(b"\\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + mac + own + bytes(6) + asked)
    end, answers = time.monotonic() + 1, set()
    while (left := end - time.monotonic()) > 0:
        port.settimeout(left)
        try: frame = port.recv(2048)
        except TimeoutError: break
        if frame[20:22] == bytes([0, 2]) and frame[28:32] == asked: answers.add(frame[22:28].hex(":"))
print(*sorted(answers))
"""


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    found = try_namespaces().network_faults
    if not found.available:
        pytest.skip(f"{found.reason}; {found.cure}")


@attrs.frozen
class Talker:
    """A program on a node, and lines with it."""

    process: subprocess.Popen[str]

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.hear()


class Wired(Machines):
    """Two machines, and what can be wrong between them."""

    @contextlib.contextmanager
    def program(self, node: NodeSite, text: str, *arguments: str) -> Iterator[Talker]:
        command = self.site.command(node, ["python3", "-c", text, *arguments])
        assert command is not None
        with subprocess.Popen(
            command.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        ) as process:
            try:
                yield Talker(process)
            finally:
                # To kill it would kill what has brought it onto the node only.
                assert process.stdin is not None
                process.stdin.close()
                process.wait(MINUTE)

    @contextlib.contextmanager
    def fault(self, rule: Rule) -> Iterator[None]:
        self.site.network_faults.begin("one", rule)
        try:
            yield
        finally:
            self.site.network_faults.end("one")

    def on_bridge(self) -> int:
        entering = self.site._entering(self.site._switch().pid, ("--net",))
        outcome = self.keeper.run([*entering, "ip", "-oneline", "link", "show", "master", "nodes"])
        assert outcome.returncode == 0
        return len(outcome.stdout.splitlines())

    def reaches(self, node: NodeSite, other: NodeSite, patience: float = MINUTE) -> bool:
        program = "import socket, sys; socket.create_connection((sys.argv[1], 22), float(sys.argv[2]))"
        return self.run(node, "python3", "-c", program, other.ip, str(patience)).returncode == 0


@pytest.fixture(scope="module")
def wired(clusters_root: Path) -> Iterator[Wired]:
    clusters_root.mkdir(exist_ok=True, mode=0o700)
    made = Wired(clusters_root)
    yield made
    made.keeper.stop()


@pytest.fixture
def talk(wired: Wired) -> Iterator[Talker]:
    """A connection from node1 to node2 that is there, and works."""
    first, second = wired.nodes
    (second.root / "tmp/heard").write_text("")
    with wired.program(second, ECHO) as echo:
        assert echo.hear() == "ready"
        with wired.program(first, TALK, second.ip) as talker:
            assert talker.hear() == "connected"
            assert talker.ask("60 hello") == "hello"
            yield talker


def test_what_is_cut_is_silent_and_goes_on_when_it_is_joined_again(wired: Wired, talk: Talker) -> None:
    first, second = wired.nodes
    with wired.fault(Rule(between(ONE, TWO), drop=True)):
        assert wired.on_bridge() == 0
        assert talk.ask("0.5 lost?") == "silence"
        assert not wired.reaches(second, first, 0.5)
        # The outside is on neither side.
        with second.network.connect(second.ip, 22, MINUTE) as connection:
            assert connection.recv(4) == b"SSH-"
        assert wired.output(first, ["getent", "hosts", "node2"]).split()[0] == second.ip
        assert "lost" not in (second.root / "tmp/heard").read_text()
    # Bytes of a connection are sent until they arrive.
    assert talk.ask("60") == "lost?"
    assert wired.reaches(second, first)
    assert wired.on_bridge() == 3


def test_one_direction_can_be_cut_alone(wired: Wired, talk: Talker) -> None:
    heard = wired.nodes[1].root / "tmp/heard"
    with wired.fault(Rule(((TWO, ONE),), drop=True)):
        assert talk.ask("0.5 there") == "silence"
        deadline = time.monotonic() + MINUTE
        while "there" not in heard.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert talk.ask("60") == "there"


def test_the_outside_has_one_hardware_address_that_stays(wired: Wired) -> None:
    node = wired.nodes[0]
    asking = ["python3", "-c", WHOSE, node.ip, wired.site._outside]
    assert wired.output(node, asking) == "02:00:00:00:00:fe"
    with wired.fault(Rule(between(ONE, TWO), drop=True)):
        assert wired.output(node, asking) == "02:00:00:00:00:fe"


def test_the_outside_can_be_cut_off_too(wired: Wired) -> None:
    first, second = wired.nodes
    with wired.fault(Rule(between(Parties(frozenset({OUTSIDE})), TWO), drop=True)):
        with pytest.raises(OSError, match="timed out"):
            second.network.connect(second.ip, 22, 0.5)
        assert wired.reaches(first, second)
        with first.network.connect(first.ip, 22, MINUTE):
            pass
    with second.network.connect(second.ip, 22, MINUTE):
        pass


def test_no_answer_comes_before_the_delays_of_both_ways(wired: Wired, talk: Talker) -> None:
    delay = 0.2
    with wired.fault(Rule(between(NODES, NODES), delay=delay)):
        for _ in range(3):
            began = time.monotonic()
            assert talk.ask("60 late") == "late"
            assert time.monotonic() - began >= 2 * delay
        wired.site.network_faults.begin("two", Rule(((ONE, TWO),), delay=delay))
        began = time.monotonic()
        assert talk.ask("60 later") == "later"
        assert time.monotonic() - began >= 3 * delay
        # What is still under way arrives when the last rule ends.
        wired.site.network_faults.begin("three", Rule(((ONE, TWO),), delay=50.0))
        assert talk.ask("0.5 at last") == "silence"
        wired.site.network_faults.end_all()
        assert talk.ask("60") == "at last"


def test_of_datagrams_some_are_lost_and_the_same_ones_with_the_same_seed(wired: Wired) -> None:
    first, second = wired.nodes
    wired.output(first, ["ip", "neigh", "replace", second.ip, "lladdr", hardware(second), "dev", "eth0"])
    came: list[list[str]] = []
    # A frame of the node's own, such as the kernel sends now and then, may come between: the others' fates shift then.
    while len(came) < 2 or (len(came) < 10 and came[-1] != came[-2]):
        with wired.program(second, COUNT) as count:
            assert count.hear() == "ready"
            with wired.fault(Rule(((ONE, TWO),), loss=0.5, seed=3)):
                wired.output(first, ["python3", "-c", SEND, second.ip, "300"])
            wired.output(first, ["python3", "-c", SEND, second.ip, "0", "end"])
            came.append(count.hear().split())
    assert all(75 < len(numbers) < 225 for numbers in came)
    assert came[-1] == came[-2]
    wired.output(first, ["ip", "neigh", "delete", second.ip, "dev", "eth0"])


def test_a_megabyte_takes_as_long_as_the_bandwidth_says_and_arrives_whole(wired: Wired) -> None:
    first, second = wired.nodes
    content = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(32768))
    (first.root / "tmp/content").write_bytes(content)
    for rule, seconds in (
        (Rule(between(NODES, NODES), bandwidth=1_000_000.0), len(content) / 1_000_000.0),
        # Segments that are yet to be cut, and checksums that are yet to be made, pass as they are.
        (Rule(between(NODES, NODES), delay=0.001), 0.0),
    ):
        copying = ["scp", "-q", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "/tmp/content"]
        with wired.fault(rule):
            began = time.monotonic()
            wired.output(first, [*copying, f"{second.ip}:/tmp/content"])
            assert time.monotonic() - began >= seconds
        assert (second.root / "tmp/content").read_bytes() == content
        (second.root / "tmp/content").unlink()


def test_who_boots_meanwhile_is_concerned_too(wired: Wired) -> None:
    first, second = wired.nodes
    with wired.fault(Rule(between(ONE, Parties(frozenset({1, OUTSIDE}), others=True)), drop=True)):
        for node in (first, second):
            node.off_mark.touch()
            wired.site.follow_power()
            node.off_mark.unlink()
            wired.site.follow_power()
        assert not wired.reaches(second, first, 0.5)
        [third] = wired.site.nodes([("node3.vc", 3)])
        wired.site.furnish(third)
        wired.site.bring_up(third)
        assert wired.reaches(third, second)
        assert not wired.reaches(third, first, 0.5)
        with first.network.connect(first.ip, 22, MINUTE):
            pass
    assert wired.reaches(third, first)
    assert wired.on_bridge() == 4
    third.off_mark.touch()
    wired.site.follow_power()
    # One that went is no obstacle.
    with wired.fault(Rule(between(ONE, TWO), drop=True)):
        assert not wired.reaches(second, first, 0.5)
    assert wired.reaches(second, first)
    wired.site.forget(third.name)


def test_two_rules_are_in_force_until_each_is_lifted(wired: Wired) -> None:
    first, second = wired.nodes
    faults = wired.site.network_faults
    faults.begin("a", Rule(((ONE, TWO),), drop=True))
    faults.begin("b", Rule(((TWO, ONE),), drop=True))
    faults.end("a")
    faults.end("a")
    assert not wired.reaches(first, second, 0.5)
    # Whichever process it is.
    wired.attach().network_faults.end("b")
    assert wired.reaches(first, second)


def test_wishes_that_make_no_sense_do_no_harm(wired: Wired) -> None:
    first, second = wired.nodes
    path = str(wired.site.network_faults.path)
    assert "nothing is known" in control.ask(path, strange=1).error
    assert "KeyError" in control.ask(path, begin="x", rule={}).error
    assert "TypeError" in control.ask(path, begin="x", rule={"flows": [], "other": 1}).error
    assert "OSError" in control.ask(path, plug="no-such-link", party=9).error
    with pytest.raises(EngineUnavailable, match="cannot be forwarded"):
        wired.site.network_faults.begin("x", Rule((), delay="x"))  # type: ignore[arg-type]
    assert wired.on_bridge() == 3
    assert wired.reaches(first, second)


def test_a_switch_that_is_gone_is_told(wired: Wired, tmp_path: Path) -> None:
    nobody = attrs.evolve(wired.site.network_faults, path=tmp_path / "nobody")
    with pytest.raises(KeeperError, match="does not answer"):
        nobody.end_all()


def hardware(node: NodeSite) -> str:
    return "02:00:" + ":".join(f"{int(part):02x}" for part in node.ip.split("."))
