"""Directives that make the reference from the code when the pages are built::

.. vcluster-options::               the table of options
.. vcluster-spec:: ClusterSpec      the fields of a spec
.. vcluster-fixtures::              the fixtures
.. vcluster-marker::                what `pytest --markers` says
.. vcluster-errors::                the tree of errors
.. vcluster-commands::              the command line, as its own help tells it
.. vcluster-differences:: engine    differences to a real cluster: engine, adaptations or verify
.. vcluster-room:: keeper           what a package's modules say of themselves
.. vcluster-rows:: table            what Ganeti's design asks for: as a table, or what tests have shown
.. vcluster-faults::                what Ganeti was seen to do under each fault
.. vcluster-qa:: off                tables about Ganeti's QA suite: off, known or adaptations
.. vcluster-soak-known::             files that Ganeti leaves of instances that are gone
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import attrs
import click
import differences
from docutils import nodes
from fault_tables import fault_matrix
from qa_tables import qa_table
from rows import rows_of
from soak_tables import soak_known
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from pytest_ganeti_vcluster import errors, plugin
from pytest_ganeti_vcluster.cli import _commands
from pytest_ganeti_vcluster.cluster import spec
from pytest_ganeti_vcluster.settings import OPTIONS

#: A line such as "`nodes`   a number": a name, its column, what it means.
_FIELD = re.compile(r"^`(?P<name>\w+)`\s{2,}(?P<meaning>\S.*)$", re.MULTILINE)
_ANY_FIELD = re.compile(r"(?:^`\w+`\s{2,}\S.*\n?)+", re.MULTILINE)

#: Columns of the help texts, as many as a page shows without scrolling.
_WIDTH = 84

#: Classes that are given to tests, and that no test makes.
_HANDLE = {
    "VirtualCluster",
    "VirtualNode",
    "VirtualInstance",
    "NodeDaemon",
    "Scripts",
    "CommandResult",
    "RapiAccess",
    "RapiEndpoint",
    "Job",
}


def options() -> str:
    """Return the table of options."""
    rows = [
        (
            f"| ``{one.flag}``\n| ``{one.ini}``\n| ``{one.variable}``",
            differences.rst(f"{one.help} Give {one.valid}."),
            differences.rst(one.default_text),
        )
        for one in OPTIONS
    ]
    return differences.table(("Command line, ini, environment", "Meaning", "Default"), rows, "33 45 22")


def spec_fields(name: str) -> str:
    """Return the fields of a spec class."""
    cls = getattr(spec, name)
    doc = inspect.getdoc(cls) or ""
    meanings = {match["name"]: match["meaning"] for match in _FIELD.finditer(doc)}
    head: tuple[str, ...] = ("Field", "Type", "Default")
    rows = []
    for field in attrs.fields(cls):
        row = (f"``{field.name}``", f"``{_type(field)}``", f"``{_default(field)}``")
        rows.append((*row, differences.rst(meanings.get(field.name, ""))) if meanings else row)
    text = differences.rst(_ANY_FIELD.sub("", doc).strip())
    return "\n".join(
        [
            f".. py:class:: {cls.__name__}",
            f"   :module: {cls.__module__}",
            "",
            textwrap.indent(text, "   "),
            "",
            textwrap.indent(differences.table((*head, "Meaning") if meanings else head, rows), "   "),
        ]
    )


def _type(field: Any) -> str:
    # What may be given, where that is more than what is kept.
    given = {
        "tuple[NodeSpec, ...]": "int | Sequence[NodeSpec]",
        "tuple[str, ...]": "Sequence[str]",
        "frozenset[str]": "set[str]",
    }
    return given.get(str(field.type), str(field.type))


def _default(field: Any) -> str:
    default = field.default
    if isinstance(default, frozenset) and not default:
        return "set()"
    return repr(default)


def fixtures() -> str:
    """Return the fixtures, with their scopes and what they say of themselves."""
    parts = []
    for name in plugin.__all__:
        if name.startswith("_"):
            continue
        fixture = getattr(plugin, name)
        # pytest has no other way to ask for these.
        scope = fixture._fixture_function_marker.scope  # noqa: SLF001
        doc = inspect.getdoc(fixture._get_wrapped_function()) or ""  # noqa: SLF001
        parts += [
            f".. py:data:: {name}",
            f"   :type: fixture of scope {scope}",
            "   :no-index-entry:",
            "",
            textwrap.indent(differences.rst(doc), "   "),
            "",
        ]
    return "\n".join(parts)


def marker() -> str:
    """Return what the plugin registers of the marker."""
    signature, _, text = plugin.MARKER.partition(": ")
    return f"``@pytest.mark.{signature}``: {differences.rst(text)}\n"


def error_tree() -> str:
    """Return the tree of errors, then what each says of itself."""
    found = list(_errors(errors.VClusterError, 0))
    tree = [f"{'  ' * depth}* :py:exc:`~{errors.__name__}.{cls.__name__}`\n" for depth, cls in found]
    described = [
        "\n".join(
            [
                f".. py:exception:: {cls.__name__}",
                f"   :module: {errors.__name__}",
                "",
                textwrap.indent(differences.rst(inspect.getdoc(cls) or ""), "   "),
                "",
            ]
        )
        for _depth, cls in found
    ]
    return "\n".join([*tree, "", *described])


def _errors(cls: type[errors.VClusterError], depth: int) -> Iterator[tuple[int, type[errors.VClusterError]]]:
    yield depth, cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _errors(child, depth + 1)


def commands() -> str:
    """Return the command line: the list of subcommands, then the help of each."""
    context = _commands.make_context("ganeti-vcluster", [], resilient_parsing=True)
    parts = [_section("ganeti-vcluster", _help(_commands, context), "~")]
    for name in _commands.list_commands(context):
        command = _commands.get_command(context, name)
        assert command is not None
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        parts.append(_section(name, _help(command, inner), "~"))
        if isinstance(command, click.Group):
            for child in command.list_commands(inner):
                below = command.get_command(inner, child)
                assert below is not None
                context_below = below.make_context(child, [], parent=inner, resilient_parsing=True)
                parts.append(_section(f"{name} {child}", _help(below, context_below), "~"))
    return "\n".join(parts)


def _help(command: click.Command, context: click.Context) -> str:
    formatter = click.HelpFormatter(width=_WIDTH)
    command.format_help(context, formatter)
    return f".. code-block:: text\n\n{textwrap.indent(formatter.getvalue().rstrip(), '   ')}\n"


def _section(title: str, text: str, line: str) -> str:
    return f"{title}\n{line * len(title)}\n\n{text}\n"


def differences_of(kind: str) -> str:
    """Return a table of differences to a real cluster."""
    makers: dict[str, Callable[[], str]] = {
        "engine": lambda: differences.table_of(differences.FACTS),
        "adaptations": lambda: differences.table_of(differences.adaptations()),
        "verify": differences.expected_text,
    }
    return makers[kind]()


def room(package: str) -> str:
    """Return what the modules of a package say of themselves: the first line of each docstring."""
    found = importlib.import_module(f"pytest_ganeti_vcluster.{package}")
    rows = []
    for module in pkgutil.iter_modules(found.__path__):
        if module.name.startswith("__"):
            continue
        loader = module.module_finder.find_spec(module.name)  # type: ignore[call-arg]
        assert loader is not None
        assert loader.origin is not None
        with open(loader.origin, encoding="utf-8") as source:  # noqa: PTH123 - a path as import tells it
            doc = ast.get_docstring(ast.parse(source.read())) or ""
        rows.append((f"``{package}.{module.name}``", differences.rst(doc.partition("\n")[0])))
    return differences.table(("Module", "What it is"), rows, "30 70")


class _Generated(SphinxDirective):
    """Text that a function makes, parsed as if it stood in the page."""

    make: ClassVar[Callable[..., str]]

    def run(self) -> list[nodes.Node]:
        text = type(self).make(*self.arguments)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _directive(function: Callable[..., str], arguments: int) -> type[_Generated]:
    return type(
        function.__name__, (_Generated,), {"make": staticmethod(function), "required_arguments": arguments}
    )


def _columns(  # noqa: PLR0917 - Sphinx's signature
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn columns of "`name`   meaning" in a docstring, which would flow together, into a list."""
    del app, what, name, obj, options
    lines[:] = [re.sub(r"^`(\w+)`\s{2,}(\S.*)$", r"* `\1`: \2", line) for line in lines]


def _signature(  # noqa: PLR0917 - Sphinx's signature
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str, annotation: str
) -> tuple[str, None] | None:
    """Leave out how the parts of the handle are made: nobody but the plugin makes them."""
    del app, obj, options, signature, annotation
    made_by_us = what == "class" and name.rpartition(".")[2] in _HANDLE
    return ("", None) if made_by_us else None


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directives."""
    for name, function, arguments in (
        ("options", options, 0),
        ("spec", spec_fields, 1),
        ("fixtures", fixtures, 0),
        ("marker", marker, 0),
        ("errors", error_tree, 0),
        ("commands", commands, 0),
        ("differences", differences_of, 1),
        ("room", room, 1),
        ("qa", qa_table, 1),
        ("soak-known", soak_known, 0),
        ("rows", rows_of, 1),
        ("faults", fault_matrix, 0),
    ):
        app.add_directive(f"vcluster-{name}", _directive(function, arguments))
    app.connect("autodoc-process-docstring", _columns)
    app.connect("autodoc-process-signature", _signature)
    # The tables come from the code: a page is never up to date by its own text alone.
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
