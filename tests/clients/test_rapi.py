from __future__ import annotations

import base64
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from pytest_ganeti_vcluster.clients import RapiClient
from pytest_ganeti_vcluster.clients.ganeti_rapi import client_module
from pytest_ganeti_vcluster.errors import JobFailed, JobTimeout, MachineError, RapiError, SpecError
from tests.clients.luxi_peer import RECORDED

_SUCCESS, _FAILED, _RUNNING = (
    dict(zip(RECORDED[name]["args"][1], json.loads(RECORDED[name]["answer"])["result"][0]))
    for name in ("job_success", "job_failed", "job_running")
)


class _Server(ThreadingHTTPServer):
    """An HTTPS server on a free port that gives the prepared answers one after the other."""

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes | None]] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.released = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("cluster.vc", "127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def gives(self, *answers: Any, status: int = 200) -> None:
        self.answers += [
            (status, one if isinstance(one, bytes) or one is None else json.dumps(one).encode())
            for one in answers
        ]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses the certificate is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.requests.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        )
        status, data = self.server.answers.pop(0)
        if data is None:  # the answer that never comes
            self.server.released.wait(20)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the base class's names


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[_Server]:
    with _Server(authority) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.released.set()
        one.shutdown()
        thread.join()


@pytest.fixture
def rapi(server: _Server, authority: trustme.CA, tmp_path: Path) -> RapiClient:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return RapiClient(f"https://127.0.0.1:{server.server_port}", "tester", "se:cret", ca_file, timeout=10)


def test_verbs_paths_parameters_and_bodies(server: _Server, rapi: RapiClient) -> None:
    server.gives(["node1.vc"], 7, 8, 9)
    assert rapi.get("nodes", bulk=True, x=None) == ["node1.vc"]
    assert rapi.post("/2/instances", {"a": [1]}, dry_run=False) == 7
    assert rapi.put("nodes/a b/tags", tag=["x", "y z"]) == 8
    assert rapi.delete("instances/i.vc") == 9
    assert [(method, path, body) for method, path, _, body in server.requests] == [
        ("GET", "/2/nodes?bulk=1&x=", None),
        ("POST", "/2/instances?dry_run=0", {"a": [1]}),
        ("PUT", "/2/nodes/a%20b/tags?tag=x&tag=y+z", None),
        ("DELETE", "/2/instances/i.vc", None),
    ]
    headers = server.requests[1][2]
    assert base64.b64decode(headers["authorization"].split()[1]) == b"tester:se:cret"
    assert headers["content-type"] == "application/json"


def test_version_and_info(server: _Server, rapi: RapiClient) -> None:
    server.gives(2, {"name": "cluster.vc"})
    assert rapi.version() == 2
    assert rapi.info() == {"name": "cluster.vc"}
    assert [path for _, path, _, _ in server.requests] == ["/version", "/2/info"]


def test_error_body_is_decoded(server: _Server, rapi: RapiClient) -> None:
    # Recorded from the ganeti-rapi of Ganeti 3.0.2.
    escaped = "Invalid body parameters: (&quot;Parameter &#x27;OP_INSTANCE_CREATE.disks&#x27; fails&quot;)"
    server.gives({"code": 400, "message": escaped, "explain": "Bad request syntax"}, status=400)
    with pytest.raises(RapiError, match=r"'OP_INSTANCE_CREATE\.disks' fails") as caught:
        rapi.post("instances", {})
    assert caught.value.status == 400
    assert str(caught.value).startswith("RAPI POST /2/instances: 400 Invalid")
    assert "Bad request syntax" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "cure"), [(401, "user and password"), (403, "the option 'write'"), (404, "")]
)
def test_refusals_say_what_to_do(server: _Server, rapi: RapiClient, status: int, cure: str) -> None:
    server.gives({"code": status, "message": "No", "explain": None}, status=status)
    with pytest.raises(RapiError, match=f"{status} No") as caught:
        rapi.info()
    assert caught.value.status == status
    assert cure in caught.value.cure


def test_answer_that_is_no_json_is_shown(server: _Server, rapi: RapiClient) -> None:
    server.gives(b"<html>proxy", status=502)
    with pytest.raises(RapiError, match="not JSON") as caught:
        rapi.info()
    assert caught.value.status == 502
    assert "<html>proxy" in str(caught.value)


def test_certificate_of_another_authority_is_refused(
    server: _Server, rapi: RapiClient, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(RapiError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        attrs.evolve(rapi, ca_file=other).info()
    assert caught.value.status == 0
    assert str(other) in caught.value.cure
    assert not server.requests


def test_certificate_for_another_name_is_refused(server: _Server, rapi: RapiClient) -> None:
    with pytest.raises(RapiError, match=r"nope\.vc"):
        attrs.evolve(rapi, server_name="nope.vc").info()
    assert not server.requests
    server.gives(2)
    assert attrs.evolve(rapi, server_name="cluster.vc").version() == 2


def test_missing_authority(rapi: RapiClient, tmp_path: Path) -> None:
    with pytest.raises(RapiError, match="No such file") as caught:
        attrs.evolve(rapi, ca_file=tmp_path / "nope").info()
    assert "no certificate authority" in caught.value.cure


def test_nobody_listens(rapi: RapiClient) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        url = f"https://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(RapiError, match="refused") as caught:
            attrs.evolve(rapi, url=url).info()
    assert caught.value.status == 0
    assert "rapi-daemon.log" in caught.value.cure


def test_silence_ends_in_time_and_is_not_repeated(server: _Server, rapi: RapiClient) -> None:
    server.gives(None)
    begin = time.monotonic()
    with pytest.raises(RapiError, match="timed out"):
        attrs.evolve(rapi, timeout=0.2).post("instances", {})
    assert time.monotonic() - begin < 5
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://node1.vc:5080", "node1.vc", "https://", "https://node1.vc/2"])
def test_what_is_no_address(url: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No RAPI address"):
        RapiClient(url, "u", "p", tmp_path)


def test_password_is_not_shown(rapi: RapiClient) -> None:
    assert "se:cret" not in repr(rapi)


def test_wait_job(server: _Server, rapi: RapiClient) -> None:
    server.gives({"job_info": ["running"], "log_entries": [[3, [1, 0], "message", "x"]]}, b"null")
    server.gives({"job_info": ["success"], "log_entries": []}, _SUCCESS)
    assert rapi.wait_job(_SUCCESS["id"], 30) == [None]
    waits = [body for _, path, _, body in server.requests if path.endswith("/wait")]
    assert [(one["previous_job_info"], one["previous_log_serial"]) for one in waits] == [
        (None, None),
        (["running"], 3),
        (["running"], 3),
    ]


def test_wait_job_that_failed(server: _Server, rapi: RapiClient) -> None:
    server.gives({"job_info": ["error"], "log_entries": []}, _FAILED)
    with pytest.raises(JobFailed, match="Duration must be greater") as caught:
        rapi.wait_job(str(_FAILED["id"]), 30)
    assert caught.value.opcode == "OP_TEST_DELAY"


def test_wait_job_that_goes_on(server: _Server, rapi: RapiClient) -> None:
    server.gives(None, _RUNNING)
    with pytest.raises(JobTimeout, match="it is running"):
        rapi.wait_job(_RUNNING["id"], 0.2)


def test_wait_job_that_is_archived_or_unknown(server: _Server, rapi: RapiClient) -> None:
    lost = {"code": 500, "message": "Internal Server Error", "explain": "Can't load job file"}
    server.gives(lost, status=500)
    server.gives(_SUCCESS)
    assert rapi.wait_job(_SUCCESS["id"], 30) == [None]
    server.gives(lost, status=500)
    server.gives(dict.fromkeys(_SUCCESS))
    with pytest.raises(RapiError, match="knows no job 99999") as caught:
        rapi.wait_job(99999, 30)
    assert caught.value.status == 404


def test_official_client_that_is_not_there(rapi: RapiClient, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="is not where it is looked for") as caught:
        attrs.evolve(rapi, client_module_folder=tmp_path).ganeti_client()
    assert str(tmp_path / "ganeti/rapi/client.py") in str(caught.value)


def test_official_client_without_what_it_needs(rapi: RapiClient, tmp_path: Path) -> None:
    module = tmp_path / "ganeti/rapi/client.py"
    module.parent.mkdir(parents=True)
    module.write_text("import pycurl_of_another_world\n")
    before = set(sys.modules)
    with pytest.raises(MachineError, match="needs the Python module pycurl_of_another_world") as caught:
        attrs.evolve(rapi, client_module_folder=tmp_path).ganeti_client()
    assert "pip install pycurl" in caught.value.cure
    assert not [name for name in set(sys.modules) - before if name.startswith("ganeti")]


def test_module_is_loaded_once_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        module = tmp_path / name / "ganeti/rapi/client.py"
        module.parent.mkdir(parents=True)
        module.write_text("class GanetiApiError(Exception): pass\n")
    first = client_module(tmp_path / "a")
    assert client_module(tmp_path / "a") is first
    assert client_module(tmp_path / "b") is not first
    assert sys.modules[first.GanetiApiError.__module__] is first
