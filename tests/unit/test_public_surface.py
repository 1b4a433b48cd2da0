"""What the package gives to those who import it, and that importing it costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest_ganeti_vcluster


def test_the_public_names_are_these() -> None:
    assert pytest_ganeti_vcluster.__all__ == [
        "Broken",
        "ClusterSpec",
        "CommandFailed",
        "CommandResult",
        "Fault",
        "HealFailed",
        "Job",
        "JobFailed",
        "LuxiClient",
        "LuxiError",
        "NodeSpec",
        "Problem",
        "RapiClient",
        "RapiEndpoint",
        "RapiError",
        "Reset",
        "ResetFailed",
        "Snapshot",
        "VClusterError",
        "VirtualCluster",
        "VirtualInstance",
        "VirtualNode",
    ]
    for name in pytest_ganeti_vcluster.__all__:
        assert getattr(pytest_ganeti_vcluster, name).__name__ == name


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    program = "import sys, pytest_ganeti_vcluster; print([m for m in sys.modules if m.startswith('pytest_ganeti_vc')])"
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output.strip() == "['pytest_ganeti_vcluster']"
