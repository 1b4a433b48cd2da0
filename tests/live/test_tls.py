"""RPCs do without the machine's certificates, and check those of the cluster as they did before."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
import trustme

from pytest_ganeti_vcluster.clients.rows import ResultStatus
from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.ganeti.curl_library import LIBRARY
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS, NodeAddress
from pytest_ganeti_vcluster.ganeti.readiness import wait_ready
from pytest_ganeti_vcluster.settings import Settings
from tests.opens import Opens

pytestmark = pytest.mark.only_on("loopback", "only of adapted Ganetis something about TLS is changed")

_CERTIFICATES = Path("/etc/ssl/certs")
_QUERIES = 5
_REFUSED = "CurlSSLCACert"
#: CURLE_PEER_FAILED_VERIFICATION; the words after it are those of the TLS library.
_REFUSED_BY_PYTHON = "Error 60: "

_VERSIONS = """\
import os, sys
sys.path.insert(0, os.environ["VCLUSTER_SHARE"])
from ganeti.rpc import node as rpc
rpc.Init()
try:
    answers = rpc.DnsOnlyRunner().call_version(sys.argv[1:])
    for name in sys.argv[1:]:
        print(name, answers[name].fail_msg or answers[name].payload)
finally:
    rpc.Shutdown()
"""

_RAPI = """\
import os, sys
sys.path.insert(0, os.environ["VCLUSTER_SHARE"])
import pycurl
from ganeti.rapi import client
host, user, password, ca_file = sys.argv[1:]
pycurl.global_init(pycurl.GLOBAL_ALL)
config = client.GenericCurlConfig(cafile=ca_file, verify_hostname=True, proxy="")
try:
    asked = client.GanetiRapiClient(host, username=user, password=password, curl_config_fn=config)
    print(asked.GetVersion())
except client.CertificateError as error:
    print("refused:", error)
"""


@pytest.fixture(scope="module")
def fixed() -> Iterator[VirtualCluster]:
    with build_cluster(ClusterSpec(nodes=2), Settings.read()) as cluster:
        if not (cluster.root / "farm/curl").exists():
            pytest.skip("the libcurl here needs no fix, or does not take it; `ganeti-vcluster doctor` tells")
        yield cluster


@pytest.fixture(scope="module")
def unfixed() -> Iterator[VirtualCluster]:
    with build_cluster(ClusterSpec(nodes=2), attrs.evolve(Settings.read(), tls_fix=False)) as cluster:
        yield cluster


@pytest.fixture
def opens() -> Iterator[Opens]:
    with Opens(_CERTIFICATES) as watched:
        if not watched.files:
            pytest.skip(f"{_CERTIFICATES} has no certificates here (package ca-certificates)")
        yield watched


def _ask_from_luxid(cluster: VirtualCluster) -> None:
    """Have luxid ask every node, several times."""
    for _query in range(_QUERIES):
        rows = cluster.luxi.query("node", ["name", "mfree"]).cells
        assert all(row["mfree"].normal for row in rows)


def _versions(cluster: VirtualCluster) -> dict[str, str]:
    """Have Ganeti's Python ask every node; its answer or why there is none, by node."""
    names = [node.name for node in cluster.nodes]
    answer = cluster.run(str(cluster.ganeti.python), "-c", _VERSIONS, *names)
    return {name: text for name, _space, text in (line.partition(" ") for line in answer.lines)}


def _ask_from_python(cluster: VirtualCluster) -> None:
    answers = _versions(cluster)
    assert len(answers) == 2
    assert all(text.isdigit() for text in answers.values())


def _verify(cluster: VirtualCluster) -> None:
    assert cluster.verify() == []


@pytest.mark.parametrize("ask", [_ask_from_luxid, _ask_from_python, _verify])
def test_no_certificate_of_the_machine_is_opened(
    fixed: VirtualCluster, opens: Opens, ask: Callable[[VirtualCluster], None]
) -> None:
    assert opens.fewest(lambda: ask(fixed)) == 0


def test_without_the_fix_luxid_opens_all_of_them_for_each_node(unfixed: VirtualCluster, opens: Opens) -> None:
    luxid = unfixed.master.daemon("luxid").pid
    if LIBRARY not in Path(f"/proc/{luxid}/maps").read_text(encoding="utf-8"):
        pytest.skip(f"luxid uses another libcurl than {LIBRARY} here")
    assert opens.during(lambda: _ask_from_luxid(unfixed)) >= _QUERIES * 2 * len(opens.files)


def test_without_the_fix_python_opens_all_of_them_for_each_node(
    unfixed: VirtualCluster, opens: Opens
) -> None:
    if "GnuTLS" not in _pycurl(unfixed):
        pytest.skip("Ganeti's Python has a libcurl of its own here")
    assert opens.during(lambda: _ask_from_python(unfixed)) >= 2 * len(opens.files)


def _pycurl(cluster: VirtualCluster) -> str:
    return cluster.run(str(cluster.ganeti.python), "-c", "import pycurl; print(pycurl.version)").stdout


def _restart_noded(cluster: VirtualCluster, node: VirtualNode) -> None:
    node.run("daemon-util", "stop", "ganeti-noded")
    node.run("daemon-util", "start", "ganeti-noded")
    address = NodeAddress(node.ip, node.root, cluster.master.root)
    wait_ready(DAEMONS["noded"], node.name, address, deadline=time.monotonic() + 30)


@contextlib.contextmanager
def _impostor(cluster: VirtualCluster, name: str) -> Iterator[VirtualNode]:
    """Have a node's noded show a certificate that is not the cluster's."""
    node = cluster.node(name)
    certificate = node.path("/var/lib/ganeti/server.pem")
    kept = certificate.with_suffix(".kept")
    certificate.rename(kept)
    try:
        issued = trustme.CA().issue_cert("ganeti.example.com", key_type=trustme.KeyType.RSA)
        issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        _restart_noded(cluster, node)
        yield node
    finally:
        kept.replace(certificate)
        _restart_noded(cluster, node)


@pytest.mark.parametrize("which", ["fixed", "unfixed"])
def test_a_noded_with_another_certificate_is_refused(which: str, request: pytest.FixtureRequest) -> None:
    cluster: VirtualCluster = request.getfixturevalue(which)
    right, wrong = cluster.master, cluster.node("node2")
    with _impostor(cluster, "node2"):
        asked = cluster.luxi.query("node", ["name", "mfree"]).cells
        statuses = {row["name"].value: row["mfree"].status for row in asked}
        answers = _versions(cluster)
        luxid_log = cluster.master.daemon("luxid").log()
    assert statuses == {right.name: ResultStatus.NORMAL, wrong.name: ResultStatus.NODATA}
    why = [
        line
        for line in luxid_log.splitlines()
        if f'HTTP reply from \'Node {{nodeName = "{wrong.name}"' in line
    ]
    assert why
    assert all(_REFUSED in line for line in why)
    assert answers[right.name].isdigit()
    assert answers[wrong.name].startswith(_REFUSED_BY_PYTHON)
    # With its own certificate back it is let in again.
    _ask_from_luxid(cluster)
    _ask_from_python(cluster)


def test_the_rapi_certificate_is_checked(fixed: VirtualCluster, tmp_path: Path) -> None:
    def ask(ca_file: Path) -> str:
        caller = (str(fixed.ganeti.python), "-c", _RAPI, fixed.master.ip, access.username, access.password)
        return fixed.run(*caller, str(ca_file)).stdout.strip()

    access = fixed.rapi_access
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    assert ask(access.ca_file) == "2"
    assert ask(stranger).startswith("refused:")


def _has_ticket(cluster: VirtualCluster) -> bool:
    """Do an RPC with a noded as a node does; whether a session ticket came with the answer."""
    node = cluster.master
    certificate = node.path("/var/lib/ganeti/server.pem")
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.load_cert_chain(node.path("/var/lib/ganeti/client.pem"))
    connection = http.client.HTTPSConnection(node.ip, 1811, context=context, timeout=20)
    with contextlib.closing(connection):
        connection.connect()
        secured = connection.sock
        assert isinstance(secured, ssl.SSLSocket)
        if secured.version() != "TLSv1.3":
            pytest.skip("TLS 1.3 is not to be had here, and tickets cost nothing before it")
        connection.request("POST", "/version", "[]")
        response = connection.getresponse()
        # What a server sends right after the handshake is taken in with the first that is read, and the session is
        # known until the last is.
        session = secured.session
        assert response.read()
        assert session is not None
        return session.has_ticket


def test_noded_sends_no_session_ticket(fixed: VirtualCluster, unfixed: VirtualCluster) -> None:
    if not (fixed.root / "farm/openssl.cnf").exists():
        pytest.skip("clients of this Ganeti's Python would refuse the setting: see docs/explanation/tls.rst")
    assert not _has_ticket(fixed)
    assert _has_ticket(unfixed)
