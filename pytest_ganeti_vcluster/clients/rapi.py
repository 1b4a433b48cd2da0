"""The RAPI client: Ganeti's REST interface over HTTPS, with the cluster's certificate checked."""

from __future__ import annotations

import hashlib
import html
import json
import re
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import attrs
import urllib3

from pytest_ganeti_vcluster.clients.deadline import Deadline
from pytest_ganeti_vcluster.clients.ganeti_rapi import official_client
from pytest_ganeti_vcluster.clients.records import FINAL, JobRecord
from pytest_ganeti_vcluster.errors import RapiError, SpecError

#: Path of every resource of the only version of the interface, which a relative path is put behind.
_VERSION_PATH = "/2/"
#: RAPI lets a request wait this long for a job to change, in seconds (`_WFJC_TIMEOUT` in lib/rapi/rlib2.py).
_RAPI_WAIT = 10.0
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
#: How long the last look at a job may take whose time is up, in seconds.
_LAST_LOOK = 5.0


def _without_slash(url: str) -> str:
    return url.rstrip("/")


@attrs.frozen
class RapiClient:
    """Make requests to the RAPI at `url`, such as `https://node1.vc:5080`, as `username`.

    The server's certificate has to be signed by the authority in `ca_file` and be valid for the host in
    `url`, or for `server_name` where that is given. `timeout` is in seconds, for connecting and for each
    read. No request is ever repeated and no connection is kept. `client_module_folder` is where Ganeti's own
    client module lies (see `ganeti_client`). With `certificate`, a file in PEM, the server must have the first one in
    it, and neither name nor authority count: Ganeti's own certificates are signed by themselves and name nobody.

    The verbs take the path from the root (`/2/nodes`) or behind `/2/` (`nodes`) and keyword parameters for
    the query, and give the decoded JSON. They raise `RapiError`, with `status` 0 without an HTTP answer.
    """

    url: str = attrs.field(converter=_without_slash)
    username: str
    password: str = attrs.field(repr=False)
    ca_file: Path = attrs.field(converter=Path)
    server_name: str | None = None
    timeout: float = 60.0
    client_module_folder: Path | None = None
    certificate: Path | None = None

    @url.validator
    def _check_url(self, _attribute: Any, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path:
            raise SpecError(f"No RAPI address: {url!r}", cure="write it as https://HOST:5080")

    # -- requests

    def get(self, path: str, **params: Any) -> Any:
        """Read a resource."""
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        """Create something; mostly gives a job id."""
        return self.request("POST", path, body=body, params=params)

    def put(self, path: str, body: Any = None, **params: Any) -> Any:
        """Change something; mostly gives a job id."""
        return self.request("PUT", path, body=body, params=params)

    def delete(self, path: str, body: Any = None, **params: Any) -> Any:
        """Remove something; mostly gives a job id."""
        return self.request("DELETE", path, body=body, params=params)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Make one request; a `body` other than `None` is sent as JSON."""
        target = self._target(path, params or {})
        headers = {
            **urllib3.make_headers(basic_auth=f"{self.username}:{self.password}"),
            "Accept": "application/json",
            "Connection": "close",
        }
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode("utf-8")
        seconds = self.timeout if timeout is None else timeout
        try:
            checks = self._checks()
        except OSError as problem:
            raise self._unanswered(method, target, problem) from problem
        with urllib3.PoolManager(num_pools=1, **checks) as pool:
            try:
                answer = pool.request(
                    method,
                    self.url + target,
                    body=data,
                    headers=headers,
                    timeout=urllib3.Timeout(connect=seconds, read=seconds),
                    retries=False,
                    redirect=False,
                )
            except (urllib3.exceptions.HTTPError, OSError) as problem:
                raise self._unanswered(method, target, problem) from problem
        return _decode(method, target, answer.status, answer.data)

    def _checks(self) -> dict[str, Any]:
        """Give what urllib3 is to check of the server's certificate."""
        if self.certificate is None:
            return {
                "ca_certs": str(self.ca_file),
                "cert_reqs": "CERT_REQUIRED",
                "server_hostname": self.server_name,
                "assert_hostname": self.server_name,
            }
        text = self.certificate.read_text(encoding="ascii")
        first = _CERTIFICATE.search(text)
        der = ssl.PEM_cert_to_DER_cert(first.group()) if first else b""
        return {"cert_reqs": "CERT_NONE", "assert_fingerprint": hashlib.sha256(der).hexdigest()}

    def _target(self, path: str, params: Mapping[str, Any]) -> str:
        whole = path if path.startswith("/") else _VERSION_PATH + path
        query = urlencode([(key, _parameter(one)) for key, value in params.items() for one in _each(value)])
        # What is percent-encoded already stays so.
        return quote(whole, safe="/%:@") + (f"?{query}" if query else "")

    def _unanswered(self, method: str, target: str, problem: Exception) -> RapiError:
        cure = "ganeti-rapi runs on the master node: see var/log/ganeti/rapi-daemon.log"
        if not self.ca_file.is_file():
            cure = f"there is no certificate authority in {self.ca_file}"
        elif isinstance(problem, urllib3.exceptions.SSLError):
            host = self.server_name or urlsplit(self.url).hostname
            cure = f"the certificate has to be signed by {self.ca_file} and to name {host}"
            if self.certificate is not None:
                cure = f"the certificate has to be the one in {self.certificate}"
        return RapiError(f"RAPI {method} {target} at {self.url}: {problem}", cure=cure)

    # -- the few things everybody asks

    def version(self) -> int:
        """Give the version of the interface, 2. Needs no user."""
        return int(self.get("/version"))

    def info(self) -> dict[str, Any]:
        """Give what `gnt-cluster info` shows."""
        return dict(self.get("info"))

    def wait_job(self, job_id: int | str, timeout: float | None = None) -> list[Any]:
        """Wait for the end of a job and give the results of its opcodes; needs a user with write access.

        Raises `JobFailed` if it ended otherwise, `JobTimeout` if it did not end in `timeout` seconds.
        """
        deadline = Deadline.after(timeout)
        path = f"jobs/{int(job_id)}"
        known: list[Any] | None = None
        serial: int | None = None
        while not deadline.passed():
            body = {"fields": ["status"], "previous_job_info": known, "previous_log_serial": serial}
            try:
                # Ten seconds are what RAPI waits by itself, so the answer may come after the deadline.
                seconds = deadline.remaining(_RAPI_WAIT + self.timeout)
                change = self.request("GET", path + "/wait", body=body, timeout=max(seconds, 0.001))
            except RapiError as problem:
                if problem.status == 0 and deadline.passed():
                    break
                if problem.status in {HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR}:
                    # An archived job cannot be waited for: its record tells, or asking for it fails, too.
                    break
                raise
            if change:
                known = change["job_info"]
                serial = max([entry[0] for entry in change["log_entries"] or ()] + [serial or 0])
                if change["job_info"][0] in FINAL:
                    break
        fields = self.request("GET", path, timeout=_LAST_LOOK)
        if fields["status"] is None:
            raise RapiError(
                f"RAPI GET {path}: the cluster knows no job {job_id}", status=HTTPStatus.NOT_FOUND
            )
        record = JobRecord.read(fields)
        if record.ended:
            return record.conclude()
        raise record.late(timeout or 0.0)

    def ganeti_client(self) -> Any:
        """Give Ganeti's own `GanetiRapiClient` (lib/rapi/client.py) for this cluster, certificate checked.

        Taken from `client_module_folder`, the folder of an installation that has `ganeti/rapi/client.py` in
        it, where that is given, else from where Python imports `ganeti.rapi.client`. Raises `MachineError`
        where the module is absent, or pycurl, which it needs.
        """
        return official_client(
            self.url,
            self.username,
            self.password,
            ca_file=self.certificate or self.ca_file,
            check_name=self.certificate is None,
            server_name=self.server_name,
            timeout=self.timeout,
            folder=self.client_module_folder,
        )


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _parameter(value: Any) -> Any:
    # As Ganeti's client writes them (`_EncodeQuery` in lib/rapi/client.py): RAPI reads 0 and 1 as booleans.
    if value is None:
        return ""
    return int(value) if isinstance(value, bool) else value


def _decode(method: str, target: str, status: int, data: bytes) -> Any:
    try:
        document = json.loads(data.decode("utf-8")) if data else None
    except ValueError as problem:
        message = f"RAPI {method} {target}: the answer (HTTP status {status}) is not JSON"
        raise RapiError(message, status=status, seen=repr(data[:500])) from problem
    if status == HTTPStatus.OK:
        return document
    message, explanation = str(document), ""
    if isinstance(document, dict):
        # Only the message is escaped, as if it went into a page of HTML (lib/http/server.py).
        message = html.unescape(str(document.get("message", "")))
        explanation = str(document.get("explain") or "")
    users = "var/lib/ganeti/rapi/users of the master node"
    cure = ""
    if status == HTTPStatus.UNAUTHORIZED:
        cure = f"user and password have to be in {users}"
    elif status == HTTPStatus.FORBIDDEN:
        cure = f"the user needs the option 'write' in {users}"
    text = f"{message}: {explanation}" if explanation else message
    raise RapiError(f"RAPI {method} {target}: {status} {text}", status=status, cure=cure)
