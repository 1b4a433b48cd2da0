"""Forwarding of frames: by the kernel's bridge, and while there are rules for them, by us, as the rules say.

A port is an interface of the switch's network namespace; what comes out of it is what one party has sent. Frames are
taken from it and put into it with what the kernel knows of them beside their bytes (packet(7), PACKET_VNET_HDR): parts
of checksums that are yet to be made, and segments that are yet to be cut; so they pass as they would through a bridge.
While ports are ours they are no longer ports of the bridge, so nothing can pass us by. Imports the standard library
only.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import time

from pytest_ganeti_vcluster.engines.namespaces import kernel
from pytest_ganeti_vcluster.engines.namespaces.fate import Fate
from pytest_ganeti_vcluster.engines.network_rules import Rule

#: Before each frame: struct virtio_net_hdr (<linux/virtio_net.h>).
_HEADER = 10

#: More than any frame, with its header, is long.
_LONGEST_FRAME = 1 << 17

#: Frames that are taken from a port before it is another one's turn.
_AT_ONCE = 64

_ADDRESS = 6


class _Port:
    """A port that is ours."""

    def __init__(self, link: str, party: int) -> None:
        self.link = link
        self.party = party
        self.socket = kernel.open_port(link)

    def send(self, frame: bytes | memoryview) -> None:
        """Put a frame into it. What does not get in is lost, as it is with any switch."""
        with contextlib.suppress(OSError):
            self.socket.send(frame)


class Forwarder:
    """Forwards frames between ports, each of which is a party's. `selector` is its user's, who calls what it has."""

    def __init__(self, bridge: str, selector: selectors.BaseSelector) -> None:
        self._bridge = bridge
        self._selector = selector
        self._fate = Fate()
        self._parties: dict[str, int] = {}
        #: Those that are ours: all, or none.
        self._ports: dict[str, _Port] = {}
        #: Behind which port a hardware address is.
        self._places: dict[bytes, str] = {}
        #: What arrives later: when, and the order in which that was decided.
        self._waiting: list[tuple[float, int, str, bytes]] = []
        self._order = itertools.count()
        self._frame = memoryview(bytearray(_LONGEST_FRAME))

    # What is wished

    def plug(self, link: str, party: int) -> None:
        """Make an interface a port; what was known of one of that name is forgotten. Raises `OSError`."""
        self._unplug(link)
        if self._fate:
            self._take(link, party)
        else:
            kernel.join_bridge(self._bridge, link)
        self._parties[link] = party

    def begin(self, name: str, rule: Rule) -> None:
        """Have a rule be in force. Raises `OSError` where frames cannot be forwarded by rules; none is then."""
        was = bool(self._fate)
        self._fate.begin(name, rule)
        if was:
            return
        try:
            for link, party in self._there().items():
                # What passes meanwhile is lost, as where cables are moved to another switch.
                kernel.leave_bridge(self._bridge, link)
                self._take(link, party)
        except BaseException:
            self.end_all()
            raise

    @property
    def has_rules(self) -> bool:
        """Whether any rule is in force, so that frames are forwarded by us."""
        return bool(self._fate)

    def end(self, name: str) -> None:
        """Have a rule be in force no more. Raises `OSError`."""
        self._fate.end(name)
        if not self._fate:
            self._give_back()

    def end_all(self) -> None:
        """Have no rule be in force. Raises `OSError`."""
        self._fate.end_all()
        self._give_back()

    # What happens

    @property
    def timeout(self) -> float | None:
        """Seconds until `release` has something to do; None where nothing waits."""
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def release(self) -> None:
        """Forward what has waited long enough."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _moment, _order, link, frame = heapq.heappop(self._waiting)
            if link in self._ports:
                self._ports[link].send(frame)

    def _receive(self, port: _Port) -> None:
        for _turn in range(_AT_ONCE):
            try:
                length = port.socket.recv_into(self._frame)
            except BlockingIOError:
                return
            except OSError:
                # The interface is gone, or it is down for a moment.
                if not kernel.has_interface(port.link):
                    self._unplug(port.link)
                return
            if length >= _HEADER + 2 * _ADDRESS:
                self._forward(port, self._frame[:length])

    def _forward(self, port: _Port, frame: memoryview) -> None:
        now = time.monotonic()
        destination = bytes(frame[_HEADER : _HEADER + _ADDRESS])
        source = bytes(frame[_HEADER + _ADDRESS : _HEADER + 2 * _ADDRESS])
        self._places[source] = port.link
        place = self._places.get(destination)
        kept = b""
        for other in list(self._ports.values()) if place is None else [self._ports[place]]:
            if other is port:
                continue
            moment = self._fate.of(port.party, other.party, len(frame) - _HEADER, now)
            if moment is None:
                continue
            if moment <= now:
                other.send(frame)
            else:
                kept = kept or bytes(frame)
                heapq.heappush(self._waiting, (moment, next(self._order), other.link, kept))

    # Ports

    def _there(self) -> dict[str, int]:
        """Return those ports whose interfaces are still there; the others are forgotten."""
        for link in [link for link in self._parties if not kernel.has_interface(link)]:
            self._unplug(link)
        return self._parties

    def _take(self, link: str, party: int) -> None:
        port = self._ports[link] = _Port(link, party)
        self._selector.register(port.socket, selectors.EVENT_READ, lambda: self._receive(port))

    def _give_back(self) -> None:
        """Have the kernel forward again, and what still waits arrive now."""
        for _moment, _order, link, frame in sorted(self._waiting):
            if link in self._ports:
                self._ports[link].send(frame)
        self._waiting.clear()
        for port in list(self._ports.values()):
            self._receive(port)
        for link in list(self._there()):
            if link in self._ports:
                self._close(link)
            kernel.join_bridge(self._bridge, link)

    def _unplug(self, link: str) -> None:
        self._parties.pop(link, None)
        if link in self._ports:
            self._close(link)

    def _close(self, link: str) -> None:
        port = self._ports.pop(link)
        self._selector.unregister(port.socket)
        port.socket.close()
        self._places = {address: place for address, place in self._places.items() if place != link}
