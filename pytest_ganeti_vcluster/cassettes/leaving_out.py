"""What is not written to cassettes: secrets, and what says where a cluster ran rather than what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from pytest_ganeti_vcluster.cassettes.cassette import Answer, Body, Exchange, Request

#: What stands in place of a secret.
LEFT_OUT = "(left out)"

#: Fields that are secrets; what lies below them, too. A `vnc_password_file` is just a path.
_SECRET = re.compile(
    r"(?:^|[_.-])(?:password|passwd|secret|token)$|^osparams_(?:private|secret)$", re.IGNORECASE
)


@attrs.frozen
class Substitutions:
    """Replaces secrets in all texts, and addresses and folders (`places`) by others, which stay the same."""

    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    places: Mapping[str, str] = attrs.field(factory=dict)

    def request(self, request: Request) -> Request:
        """Return a request as it is recorded."""
        return attrs.evolve(
            request,
            path=self.text(request.path),
            query=tuple(
                (name, LEFT_OUT if _SECRET.search(name) else self.text(value))
                for name, value in request.query
            ),
            body=self._body(request.body),
        )

    def answer(self, answer: Answer | None) -> Answer | None:
        """Return an answer as it is recorded."""
        return None if answer is None else attrs.evolve(answer, body=self._body(answer.body))

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return an exchange as it is recorded."""
        return Exchange(self.request(exchange.request), self.answer(exchange.answer))

    def text(self, text: str) -> str:
        """Return a text as it is recorded."""
        for secret in self.secrets:
            text = text.replace(secret, LEFT_OUT)
        for place, name in self.places.items():
            # Not within a longer number: 127.64.0.1 is not the beginning of 127.64.0.12.
            text = re.sub(rf"(?<![\d.]){re.escape(place)}(?!\d|\.\d)", name.replace("\\", r"\\"), text)
        return text

    def _body(self, body: Body | None) -> Body | None:
        if body is None or body.kind == "base64":
            return body
        return Body(body.kind, self._value(body.value))

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(one) for one in value]
        if isinstance(value, dict):
            return {
                self.text(name): _without_leaves(one) if _SECRET.search(name) else self._value(one)
                for name, one in value.items()
            }
        return value


def _without_leaves(value: Any) -> Any:
    """Keep the shape of a value, and nothing of what it says."""
    if isinstance(value, dict):
        return {name: _without_leaves(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_leaves(one) for one in value]
    return value if value is None else LEFT_OUT
