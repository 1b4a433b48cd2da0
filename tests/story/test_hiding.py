"""Secrets stay out of texts."""

from __future__ import annotations

import base64

from pytest_ganeti_vcluster.story.hiding import LEFT_OUT, Hider
from tests.story import made

_HIDER = Hider.of([made.SECRET, made.KEY_LINE], [("vcluster", made.PASSWORD)])


def test_words_and_lines_of_keys_are_taken_out_wherever_they_stand() -> None:
    for secret in (made.SECRET, made.KEY_LINE, made.PASSWORD):
        for text in (secret, f"a {secret} b", f"x{secret}y", f'"{secret}\\n'):
            assert secret not in _HIDER.text(text)
            assert LEFT_OUT in _HIDER.text(text)


def test_a_password_is_taken_out_as_http_has_it_too() -> None:
    basic = base64.b64encode(f"vcluster:{made.PASSWORD}".encode()).decode()
    assert _HIDER.text(f"Authorization: Basic {basic}") == f"Authorization: Basic {LEFT_OUT}"


def test_keys_that_nobody_knows_are_taken_out_as_blocks() -> None:
    text = "before\n-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nafter"
    assert _HIDER.text(text) == f"before\n{LEFT_OUT}\nafter"


def test_what_ganeti_calls_private_is_taken_out_by_its_name() -> None:
    value = {"osparams_private": {"a": "b"}, "other": [made.SECRET, 1, None], "osparams_secret": {}}
    assert _HIDER.value(value) == {
        "osparams_private": LEFT_OUT,
        "other": [LEFT_OUT, 1, None],
        "osparams_secret": {},
    }


def test_what_has_no_secret_is_left_as_it_is() -> None:
    text = "nothing " * 1000
    assert _HIDER.text(text) is text
