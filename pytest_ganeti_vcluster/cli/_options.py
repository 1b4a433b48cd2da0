"""The options of the one table, as options of subcommands."""

from __future__ import annotations

import functools
from typing import Any, Callable

import attrs
import click

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.settings import OPTIONS, Option, Settings

#: What options that speak of tests say of the one cluster, or the one Ganeti, that a command has: help and values.
_OF_ONE: dict[str, dict[str, Any]] = {
    "nodes": {"help": "How many nodes it has."},
    "ganeti": {
        "help": "Which Ganeti to run.",
        "valid": 'a version ("3.0"), a folder of unpacked packages or of "make install DESTDIR=", or "system"',
    },
}


#: Options of a command that builds clusters, for `with_settings`.
BUILDING = ("ganeti", "engine", "root", "subnet", "timeout", "image-cache", "fork-server", "tls-fix")


def with_settings(
    *names: str, one_ganeti: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options of the table (`"root"` becomes `--root`) and a `settings` argument.

    What is not given comes from the environment, then from the defaults, as everywhere. A command that runs
    `one_ganeti` refuses several on its command line; of several in the environment it has the first.
    """
    chosen = [option for option in OPTIONS if option.name in names]
    assert len(chosen) == len(names), names
    if one_ganeti:
        chosen = [attrs.evolve(option, **_OF_ONE.get(option.name, {})) for option in chosen]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **given: Any) -> Any:
            flags = {option.field: given.pop(f"setting_{option.field}") for option in chosen}
            settings = Settings.read(flags=flags, prefix="--")
            if one_ganeti and flags.get("ganeti") is not None and len(settings.ganeti) > 1:
                raise SpecError(f"--ganeti: {flags['ganeti']!r} is more than one", cure="give one")
            return function(*args, settings=settings, **given)

        for option in reversed(chosen):
            run = click.option(
                f"--{option.name}", f"setting_{option.field}", metavar="VALUE", help=_help(option)
            )(run)
        return run

    return decorate


def _help(option: Option) -> str:
    valid = option.valid[:1].upper() + option.valid[1:]
    return f"{option.help} {valid}.  [default: {option.default_text}]"
