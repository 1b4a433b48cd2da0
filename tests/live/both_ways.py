"""A program of a test's own, run on a node as Ganeti's are: forked from the fork server, and without it."""

from __future__ import annotations

import json
from typing import Any

import attrs

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.ganeti.stubs import Stubs

#: Whether this process was forked from the server.
IS_FORKED = "'vcluster_inside.forking.server' in __import__('sys').modules"


@attrs.frozen
class BothWays:
    """The same program behind two stubs of one name: `forked` and `plain` are their paths."""

    cluster: VirtualCluster
    name: str
    forked: str
    plain: str

    @classmethod
    def of(cls, cluster: VirtualCluster, name: str, text: str) -> BothWays:
        """Put a program into a cluster's farm."""
        farm = cluster.parts.farm
        stubs = Stubs(farm.installation.python, farm.folder / "site")
        program = farm.folder / f"{name}.py"
        program.write_text(text, encoding="utf-8")
        folders = farm.folder / "tests-forked", farm.folder / "tests-plain"
        for folder in folders:
            folder.mkdir(exist_ok=True)
        forked, plain = (folder / name for folder in folders)
        stubs.write_plain(plain, program)
        stubs.write_forked(forked, program, plain)
        return cls(cluster, name, str(forked), str(plain))

    def run(self, *arguments: str, **options: Any) -> tuple[CommandResult, CommandResult]:
        """Run it forked and plain."""
        results = [
            self.cluster.run(stub, *arguments, check=False, **options) for stub in (self.forked, self.plain)
        ]
        return results[0], results[1]

    def run_in_shell(self, script: str, **options: Any) -> tuple[CommandResult, CommandResult]:
        """Run a shell script in which `$PROGRAM` is the stub, forked and plain."""
        results = [
            self.cluster.run(
                "bash", "-c", script, check=False, env={**options.get("env", {}), "PROGRAM": stub}
            )
            for stub in (self.forked, self.plain)
        ]
        return results[0], results[1]

    def told(self, result: CommandResult) -> Any:
        """Return the JSON that it printed, the two stubs' folders taken for one."""
        assert result.returncode == 0, str(result)
        return json.loads(result.stdout.replace("tests-forked", "tests").replace("tests-plain", "tests"))
