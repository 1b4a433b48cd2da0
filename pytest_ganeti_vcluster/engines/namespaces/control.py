"""What a switch is told: messages to a socket of its, each answered before the next. Standard library only.

A message is a JSON object with one of the wishes of `Control`. The answer is one, too: an `Answer`.
"""

from __future__ import annotations

import json
import selectors
import socket
from typing import Any, NamedTuple

from pytest_ganeti_vcluster.engines.namespaces.forwarding import Forwarder
from pytest_ganeti_vcluster.engines.network_rules import Rule

#: More than any message has; rules name nodes by number.
_LONGEST = 1 << 17

#: Seconds in which a switch answers: it moves all ports of a cluster meanwhile.
_PROMPT = 30.0


class Answer(NamedTuple):
    """What a switch answers: what is wrong, empty where nothing is; and whether any rule was in force before."""

    error: str
    had_rules: bool


def ask(path: str, **wish: Any) -> Answer:
    """Tell the switch at `path` a wish. Raises `OSError`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(_PROMPT)
        asking.connect(path)
        asking.sendall(json.dumps(wish).encode())
        answer = asking.recv(_LONGEST)
    if not answer:
        raise ConnectionError(f"the switch of the cluster's network has not answered at {path}")
    return Answer(**json.loads(answer))


class Control:
    """Hears at `path` what is wished of a forwarder: {"plug", "party"}, {"begin", "rule"}, {"end"} or {"end_all"}."""

    def __init__(self, path: str, forwarder: Forwarder, selector: selectors.BaseSelector) -> None:
        self._forwarder = forwarder
        self._selector = selector
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen(128)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            connection, _peer = self._listener.accept()
        except OSError:
            # Gone again.
            return
        # Who does not read the answer, or has more to say than one message, does not keep us.
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(connection))

    def _hear(self, connection: socket.socket) -> None:
        try:
            message = connection.recv(_LONGEST)
            if message:
                had_rules = self._forwarder.has_rules
                answer = Answer(self._carry_out(message), had_rules)
                connection.send(json.dumps(answer._asdict()).encode())
                return
        except OSError:
            pass
        self._selector.unregister(connection)
        connection.close()

    def _carry_out(self, message: bytes) -> str:
        try:
            wish = json.loads(message)
            if "plug" in wish:
                self._forwarder.plug(str(wish["plug"]), int(wish["party"]))
            elif "begin" in wish:
                self._forwarder.begin(str(wish["begin"]), Rule.from_json(wish["rule"]))
            elif "end" in wish:
                self._forwarder.end(str(wish["end"]))
            elif "end_all" in wish:
                self._forwarder.end_all()
            else:
                return f"nothing is known to be wished in {sorted(wish)}"
        except (OSError, ValueError, TypeError, KeyError) as error:
            return f"{type(error).__name__}: {error}"
        return ""
