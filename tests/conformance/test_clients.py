"""Public RAPI clients do to a cluster what they are for. What they do not, docs/howto/rapi-client.rst tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster import RapiEndpoint, VirtualCluster
from tests.conformance.conftest import PROGRAMS

pytestmark = [pytest.mark.slow, pytest.mark.vcluster(nodes=2)]

#: Seconds that a client may take on a busy machine.
_TIMEOUT = 300.0

#: What has a client trust our certificate by itself.
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def run(argv: list[str], rapi: RapiEndpoint, *, trusts: bool = True, **more: str) -> str:
    """Run a client in a process, with the variables of the endpoint; return what it prints."""
    given = {name: value for name, value in rapi.env.items() if trusts or name not in _TRUST}
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", *_TRUST}}
    done = subprocess.run(
        argv,
        env={**kept, **given, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def seen(argv: list[str], rapi: RapiEndpoint, **how: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run(argv, rapi, **how).splitlines()[-1])
    return told


def test_ganetis_own(
    python_with: Callable[..., Path],
    debian_package: Callable[[str], Path],
    vcluster: VirtualCluster,
    vcluster_rapi: RapiEndpoint,
) -> None:
    modules = debian_package("python3-ganeti-rapi") / "usr/lib/python3/dist-packages"
    python = python_with("pycurl", "simplejson")
    program = str(PROGRAMS / "official.py")
    told = seen([str(python), program], vcluster_rapi, trusts=False, PYTHONPATH=str(modules))
    assert told == {
        "unchecked": 2,
        "stranger": "CertificateError",
        "cluster": vcluster.name,
        "nodes": ["node1.vc", "node2.vc"],
        "instances": ["web.vc"],
        "running": "running",
        "stopped": "ADMIN_down",
        "started": "running",
        "tags": ["blue", "owner:me"],
        "tags left": ["owner:me"],
        "instances left": [],
        "gone": 404,
    }
    assert [job for job in vcluster.jobs() if job.status != "success"] == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Spicerack needs Python 3.11")
def test_spicerack_of_wikimedia(
    python_with: Callable[..., Path], vcluster: VirtualCluster, vcluster_rapi: RapiEndpoint
) -> None:
    vcluster.add_instance("web", primary=vcluster.master, nics=[{"ip": "192.0.2.10"}])
    vcluster.add_instance("plain", primary=vcluster.master)
    python = python_with("wikimedia-spicerack")
    told = seen([str(python), str(PROGRAMS / "spicerack_reads.py")], vcluster_rapi, trusts=False)
    mac = told.pop("mac")
    assert vcluster_rapi.client.get("instances/web.vc")["nic.macs"] == [mac]
    assert "404" in told.pop("unknown")
    assert told == {
        "cluster": vcluster.name,
        "master": "node1.vc",
        "nodes": ["node1.vc", "node2.vc"],
        "groups": ["default"],
        "status": "running",
        "no mac": "Can't find any MACs for instance",
        "stranger": "Error while performing request to RAPI",
    }


def test_htools(
    debian_package: Callable[[str], Path], vcluster: VirtualCluster, vcluster_rapi: RapiEndpoint
) -> None:
    vcluster.add_instance("web", primary=vcluster.master)
    series = ".".join(vcluster.ganeti.version.split(".")[:2])
    unpacked = debian_package(f"ganeti-htools-{series}")
    htools = unpacked / f"usr/lib/ganeti/{series}/usr/bin/htools"
    # Our clusters let nobody read who has no password, and htools have no other place for one.
    user = f"{vcluster_rapi.username}:{vcluster_rapi.password}"
    url = f"https://{user}@{vcluster_rapi.host}:{vcluster_rapi.port}"
    argv = [str(htools), "-m", url]
    told = run(argv, vcluster_rapi, trusts=False, HTOOLS="hbal")
    assert "Loaded 2 nodes, 1 instances\n" in told
    assert "Initial check done: 0 bad nodes, 0 bad instances.\n" in told
