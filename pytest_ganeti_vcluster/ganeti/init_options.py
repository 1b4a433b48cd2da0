"""Options for `gnt-cluster init` that a spec adds to ours, where both say something of the same thing."""

from __future__ import annotations

from collections.abc import Sequence

_NODE_PARAMETERS = "--node-parameters"
#: `gnt-cluster init` takes the shortest beginning of an option that no other has (`optparse`); it has no
#: other that begins like this.
_SHORTEST = "--nod"


def node_parameters(options: Sequence[str]) -> dict[str, str]:
    """Return the node parameters that options ask for: of several such options, the last one counts.

    A parameter without a value (`name`, `no_name` and `-name` in man ganeti, "keyval") has an empty one.
    """
    found = ""
    for place, option in enumerate(options):
        name, equals, value = option.partition("=")
        if _NODE_PARAMETERS.startswith(name) and name.startswith(_SHORTEST):
            found = value if equals else "".join(options[place + 1 : place + 2])
    words = (word.partition("=") for word in found.split(",") if word)
    return {name: value for name, _equals, value in words}


def with_ssh_port(options: Sequence[str], port: int) -> list[str]:
    """Return options that say the same, and on which port the nodes answer ssh."""
    wanted = {**node_parameters(options), "ssh_port": str(port)}
    words = (f"{name}={value}" if value else name for name, value in wanted.items())
    return [*options, f"{_NODE_PARAMETERS}={','.join(words)}"]
