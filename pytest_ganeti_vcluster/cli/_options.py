"""The options of the one table, as options of subcommands."""

from __future__ import annotations

import functools
from typing import Any, Callable

import click

from pytest_ganeti_vcluster.settings import OPTIONS, Settings


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options of the table (`"root"` becomes `--root`) and a `settings` argument.

    What is not given comes from the environment, then from the defaults, as everywhere.
    """
    chosen = [option for option in OPTIONS if option.name in names]
    assert len(chosen) == len(names), names

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **given: Any) -> Any:
            flags = {option.field: given.pop(f"setting_{option.field}") for option in chosen}
            return function(*args, settings=Settings.read(flags=flags), **given)

        for option in reversed(chosen):
            valid = option.valid[:1].upper() + option.valid[1:]
            text = f"{option.help} {valid}.  [default: {option.default_text}]"
            run = click.option(f"--{option.name}", f"setting_{option.field}", metavar="VALUE", help=text)(run)
        return run

    return decorate
