"""Node parameters of a spec beside the engine's own."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.ganeti.init_options import node_parameters, with_ssh_port


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), {}),
        (("--mac-prefix=aa:bb:cc", "--no-ssh-init"), {}),
        (("--node-parameters=oob_program=/x,spindle_count=2",), {"oob_program": "/x", "spindle_count": "2"}),
        (("--node-param", "oob_program=/x", "-v"), {"oob_program": "/x"}),
        (("--node-parameters=a=1", "--node-parameters=b=2"), {"b": "2"}),
        (("--node-parameters=no_exclusive_storage",), {"no_exclusive_storage": ""}),
        (("--node-parameters",), {}),
    ],
)
def test_node_parameters(options: tuple[str, ...], found: dict[str, str]) -> None:
    assert node_parameters(options) == found


def test_port_beside_them() -> None:
    given = ["--node-parameters=no_exclusive_storage,oob_program=/x", "-v"]
    told = "--node-parameters=no_exclusive_storage,oob_program=/x,ssh_port=2222"
    assert with_ssh_port(given, 2222) == [*given, told]
    assert with_ssh_port([], 2222) == ["--node-parameters=ssh_port=2222"]
