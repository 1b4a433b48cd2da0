"""What fixture `vcluster_rapi` gives: a RAPI for the client under test, live, recorded, replayed or checked."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

import attrs
import pytest

from pytest_ganeti_vcluster.cassettes.cassette import Cassette
from pytest_ganeti_vcluster.cassettes.checking import Checker
from pytest_ganeti_vcluster.cassettes.leaving_out import Substitutions
from pytest_ganeti_vcluster.cassettes.recording import Recorder
from pytest_ganeti_vcluster.cassettes.replaying import Replayer
from pytest_ganeti_vcluster.cassettes.serving import Credentials, RapiServer
from pytest_ganeti_vcluster.cassettes.upstream import Upstream
from pytest_ganeti_vcluster.clients.rapi import RapiClient
from pytest_ganeti_vcluster.errors import CassetteError, SpecError
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import state

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Kept for measurements in closed networks (RFC 2544): what stands in cassettes for a cluster's addresses.
_ADDRESSES = ipaddress.IPv4Address("198.18.0.0")
_SECONDARY = ipaddress.IPv4Address("198.19.0.0")
_MASTER = "198.18.255.254"
_FOLDER = "/vcluster"

#: Who is let in by a replayed RAPI; the password is another one each time.
_USERNAME = "vcluster"

_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=-]+")
_LONGEST_NAME = 120


@attrs.frozen
class RapiEndpoint:
    """A RAPI, and what a client needs to use it.

    `url`        such as "https://127.0.0.1:5080", without a slash at its end
    `username`   of a user who may write
    `password`   of that user
    `ca_file`    the authority that the server's certificate is from, in PEM; the certificate names the host in `url`
    `mode`       "live", "record", "replay" or "check", as `--vcluster-rapi` says
    `cluster`    the test's `VirtualCluster`, the same as of fixture `vcluster`; None in mode "replay"
    """

    url: str
    username: str
    password: str = attrs.field(repr=False)
    ca_file: Path
    mode: str = "live"
    cluster: VirtualCluster | None = attrs.field(default=None, repr=False)

    @property
    def host(self) -> str:
        """The host in `url`, an IP address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port in `url`."""
        return urlsplit(self.url).port or 0

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for a client that is a process of its own; add them to those that it needs otherwise.

        `GANETI_RAPI_URL`, `GANETI_RAPI_HOST`, `GANETI_RAPI_PORT`, `GANETI_RAPI_USERNAME`, `GANETI_RAPI_PASSWORD` and
        `GANETI_RAPI_CA_FILE` say what the fields do. `SSL_CERT_FILE` (OpenSSL, Python, Go, Ruby), `REQUESTS_CA_BUNDLE`
        (requests) and `CURL_CA_BUNDLE` (curl) have such libraries trust the certificate, and no other.
        """
        ca_file = str(self.ca_file)
        return {
            "GANETI_RAPI_URL": self.url,
            "GANETI_RAPI_HOST": self.host,
            "GANETI_RAPI_PORT": str(self.port),
            "GANETI_RAPI_USERNAME": self.username,
            "GANETI_RAPI_PASSWORD": self.password,
            "GANETI_RAPI_CA_FILE": ca_file,
            "SSL_CERT_FILE": ca_file,
            "REQUESTS_CA_BUNDLE": ca_file,
            "CURL_CA_BUNDLE": ca_file,
        }

    @property
    def client(self) -> RapiClient:
        """A client of this product for it, for what a test has to ask beside; it is recorded as any."""
        return RapiClient(self.url, self.username, self.password, self.ca_file)

    def arrange(self, do: Callable[[VirtualCluster], object]) -> None:
        """Call `do` with the cluster, to bring it into the state that the test needs; do nothing in mode "replay".

        What is done to the cluster itself is in no cassette: its effects on what RAPI says are.
        """
        if self.cluster is not None:
            do(self.cluster)


def for_test(request: pytest.FixtureRequest, folder: Callable[[], Path]) -> Iterator[RapiEndpoint]:
    """Give the endpoint for a test, and afterwards see to its cassette. `folder` makes one for files of the test."""
    settings: Settings = request.config.stash[state.SETTINGS]
    item = request.node
    if settings.rapi == "replay":
        yield from _replayed(item, settings, folder())
        return
    cluster: VirtualCluster = request.getfixturevalue("vcluster")
    rapi = cluster.rapi
    live = RapiEndpoint(rapi.url, rapi.username, rapi.password, rapi.ca_file, "live", cluster)
    if settings.rapi == "live":
        yield live
    elif settings.rapi == "record":
        yield from _recorded(item, settings, live, folder())
    else:
        yield from _checked(item, settings, live, folder())


def _replayed(item: pytest.Item, settings: Settings, folder: Path) -> Iterator[RapiEndpoint]:
    cassette = _read(item, settings)
    credentials = Credentials(_USERNAME, secrets.token_urlsafe(18))
    replayer = Replayer(cassette, Substitutions(secrets=(credentials.password,)))
    with RapiServer(replayer, credentials, folder) as server:
        yield RapiEndpoint(server.url, credentials.username, credentials.password, server.ca_file, "replay")
    _complain(item, settings, "requests that the cassette has no answer for", replayer.problems)


def _recorded(
    item: pytest.Item, settings: Settings, live: RapiEndpoint, folder: Path
) -> Iterator[RapiEndpoint]:
    recorder = Recorder(Upstream(live.url, live.ca_file), _substitutions(live))
    with RapiServer(recorder, Credentials(live.username, live.password), folder) as server:
        yield attrs.evolve(live, url=server.url, ca_file=server.ca_file, mode="record")
    path = cassette_path(item, settings)
    clusters = item.config.stash[state.CLUSTERS]
    if not item.stash.get(state.PASSED, False):
        clusters.note(f"{item.nodeid}: not recorded to {path}, since the test did not pass")
        return
    assert live.cluster is not None
    about = {"test": item.nodeid.rpartition("/")[2], "ganeti": live.cluster.ganeti.version}
    recorder.cassette(about).write(path)
    clusters.note(f"{item.nodeid}: recorded to {path}")


def _checked(
    item: pytest.Item, settings: Settings, live: RapiEndpoint, folder: Path
) -> Iterator[RapiEndpoint]:
    cassette = _read(item, settings)
    checker = Checker(
        Upstream(live.url, live.ca_file), cassette, _substitutions(live), _Labels.of(item).varying
    )
    with RapiServer(checker, Credentials(live.username, live.password), folder) as server:
        yield attrs.evolve(live, url=server.url, ca_file=server.ca_file, mode="check")
    # A test that fails says why itself; what it has not come to is not missing.
    if item.stash.get(state.PASSED, False):
        assert live.cluster is not None
        was, now = cassette.about.get("ganeti", "?"), live.cluster.ganeti.version
        versions = "" if was == now else f"; it was recorded from Ganeti {was}, and this is {now}"
        _complain(item, settings, f"what is not as the cassette has it{versions}", checker.problems)


def _substitutions(live: RapiEndpoint) -> Substitutions:
    cluster = live.cluster
    assert cluster is not None
    places = {str(cluster.root): _FOLDER, cluster.ip: _MASTER}
    for number, node in enumerate(cluster.nodes, 1):
        places[node.ip] = str(_ADDRESSES + number)
        if node.secondary_ip is not None:
            places[node.secondary_ip] = str(_SECONDARY + number)
    return Substitutions((live.password,), places)


def _read(item: pytest.Item, settings: Settings) -> Cassette:
    failure: CassetteError
    try:
        return Cassette.read(cassette_path(item, settings))
    except CassetteError as error:
        failure = error
    # Outside the handler: pytest would tell the error again as the context of its failure.
    pytest.fail(f"{type(failure).__name__}: {failure}", pytrace=False)


def _complain(item: pytest.Item, settings: Settings, what: str, problems: list[str]) -> None:
    if problems:
        lines = [f"{cassette_path(item, settings)}: {what}", *problems]
        pytest.fail("\n".join(lines), pytrace=False)


def cassette_path(item: pytest.Item, settings: Settings) -> Path:
    """Return the file of a test's cassette: in `cassettes` beside the test's file, or below the folder of the option.

    It has the name of the test, or that which marker `vcluster_cassette` gives. Raises `SpecError` for a bad marker.
    """
    module = item.path.with_suffix("")
    if settings.rapi_cassettes is None:
        folder = module.parent / "cassettes" / module.name
    else:
        # Files of one name in several folders have folders of their own here, too.
        folder = settings.rapi_cassettes / os.path.relpath(module, item.config.rootpath).replace("../", "")
    name = _Labels.of(item).name or ".".join(item.nodeid.split("::")[1:])
    safe = _UNSAFE.sub("_", name)[:_LONGEST_NAME]
    if safe != name:
        # Two that differ only in what was left out still differ.
        safe += f"-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return folder / f"{safe}.json"


@attrs.frozen
class _Labels:
    """What marker `vcluster_cassette` says."""

    name: str | None = None
    varying: frozenset[str] = frozenset()

    @classmethod
    def of(cls, item: pytest.Item) -> _Labels:
        """Read the closest marker of a test. Raises `SpecError`."""
        mark = item.get_closest_marker(state.CASSETTE_MARKER)
        if mark is None:
            return cls()
        try:
            labels = _labels(*mark.args, **mark.kwargs)
        except TypeError as error:
            raise SpecError(
                f"marker vcluster_cassette of {item.nodeid} is not as it has to be",
                seen=str(error),
                cure='write it as in @pytest.mark.vcluster_cassette("labels", varying=["field"])',
            ) from error
        return labels


def _labels(name: Any = None, *, varying: Any = ()) -> _Labels:
    if name is not None and not (isinstance(name, str) and name):
        raise TypeError(f"name is {name!r}, and has to be a text")
    if isinstance(varying, str) or not all(isinstance(one, str) for one in varying):
        raise TypeError(f"varying is {varying!r}, and has to be a list of names of fields")
    return _Labels(name, frozenset(varying))
