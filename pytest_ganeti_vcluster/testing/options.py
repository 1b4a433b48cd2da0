"""The options in pytest: registered from the table, read once into `Settings`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.settings import OPTIONS, Option, Settings

#: Key in an xdist worker's input of what its controller was given.
WORKER_INPUT = "vcluster_options"

#: Texts by field name, from the command line (`flags`) and from the ini file (`ini`).
Given = Mapping[str, Mapping[str, str]]


def register(parser: pytest.Parser) -> None:
    """Register every option for the command line and the ini file."""
    group = parser.getgroup("vcluster", "Ganeti clusters (each also as ini option and environment variable)")
    for option in OPTIONS:
        # A value that may be left out would swallow the file that comes next.
        how: dict[str, str] = (
            {"metavar": option.name.split("-")[-1].upper()}
            if option.alone is None
            else {"action": "store_const", "const": option.alone}
        )
        if option.repeats:
            how["action"] = "append"
        group.addoption(
            option.flag,
            dest=_destination(option),
            default=None,
            help=_escaped(f"{_help(option)} Also ini {option.ini}, environment {option.variable}."),
            **how,
        )
        parser.addini(option.ini, _help(option), default=None)


def given(config: pytest.Config) -> Given:
    """Collect what was given on the command line and in the ini file; an empty ini value counts as not given."""
    inherited: Given | None = getattr(config, "workerinput", {}).get(WORKER_INPUT)
    if inherited is not None:
        return inherited
    flags = {option.field: config.getoption(_destination(option)) for option in OPTIONS}
    ini = {option.field: config.getini(option.ini) for option in OPTIONS}
    return {
        "flags": {field: _text(given) for field, given in flags.items() if given is not None},
        "ini": {field: str(text) for field, text in ini.items() if text},
    }


def read(config: pytest.Config) -> Settings:
    """Read the settings of a run; `pytest.UsageError` for a value that cannot be.

    An xdist worker has those of its controller, but for the environment, which is its own host's.
    """
    texts = given(config)
    try:
        return Settings.read(flags=texts["flags"], ini=texts["ini"])
    except SpecError as error:
        raise pytest.UsageError(str(error)) from None


def _text(given: object) -> str:
    # One that may be given several times is a list.
    return ",".join(map(str, given)) if isinstance(given, list) else str(given)


def _destination(option: Option) -> str:
    return f"vcluster_{option.field}"


def _help(option: Option) -> str:
    alone = "" if option.alone is None else f" The flag alone means {option.alone!r}."
    again = " May be given several times." if option.repeats else ""
    return f"{option.help}{alone} Give {option.valid}; default: {option.default_text}.{again}"


def _escaped(text: str) -> str:
    # argparse takes help for a %-format.
    return text.replace("%", "%%")
