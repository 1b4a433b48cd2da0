"""Scripts of a test's own: what becomes of their texts, which nodes get them, and how long they stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import SpecError

pytestmark = pytest.mark.vcluster(nodes=2)


def test_texts_and_files(vcluster: VirtualCluster, tmp_path: Path) -> None:
    add = vcluster.scripts.add_iallocator
    paths = add("shell", "exit 0")
    assert paths == [node.path("/srv/ganeti/iallocators/shell") for node in vcluster.nodes]
    assert paths[1].read_text(encoding="utf-8") == "#!/bin/sh\nexit 0"
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o755}
    [path, _second] = add(
        "shell",
        """
        #!/usr/bin/env python3
        if True:
            print("grüße")
        """,
    )
    assert path.read_text(encoding="utf-8").splitlines()[:3] == [
        "#!/usr/bin/env python3",
        "if True:",
        '    print("grüße")',
    ]
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\0")
    [path] = add("binary", program, nodes=[vcluster.node("node2")])
    assert path == vcluster.node("node2").path("/srv/ganeti/iallocators/binary")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"\x7fELF\0", 0o755)
    assert not vcluster.master.path("/srv/ganeti/iallocators/binary").exists()


def test_what_cannot_be(vcluster: VirtualCluster, tmp_path: Path) -> None:
    scripts = vcluster.scripts
    for name in ("hook.sh", "", "a/b", "two words"):
        with pytest.raises(SpecError, match="is no name for a script"):
            scripts.add_iallocator(name, "exit 0")
    with pytest.raises(KeyError, match="node9"):
        scripts.add_restricted_command("look", "exit 0", nodes=["node1", "node9"])
    with pytest.raises(FileNotFoundError):
        scripts.add_iallocator("absent", tmp_path / "absent")
    # Nothing of it was put onto any node, so nothing has changed.
    assert vcluster.reset().how == "nothing"


def test_they_stay_as_long_as_the_state_that_they_belong_to(vcluster: VirtualCluster) -> None:
    folders = vcluster.scripts.add_os("own", variants=())
    snapshot = vcluster.snapshot()
    vcluster.scripts.add_os("own", variants=("one", "two"))
    assert [(folder / "variants.list").exists() for folder in folders] == [True, True]
    vcluster.restore(snapshot)
    assert [(folder / "variants.list").exists() for folder in folders] == [False, False]
    assert vcluster.run("gnt-os", "list", "--no-headers").lines == ["dd+default", "own"]
    vcluster.reset()
    assert not [folder for folder in folders if folder.exists()]
    assert vcluster.run("gnt-os", "list", "--no-headers").lines == ["dd+default"]
