"""What another process has to know of a running cluster to use it: `cluster.json` in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.errors import KeeperError, SpecError
from pytest_ganeti_vcluster.ganeti.bootstrap import Stage
from pytest_ganeti_vcluster.ganeti.curl_library import CurlLibrary
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.rapi_access import RapiAccess
from pytest_ganeti_vcluster.ganeti.unmodified import UnmodifiedGaneti
from pytest_ganeti_vcluster.keeper.record import write_json
from pytest_ganeti_vcluster.settings import OPTIONS, Settings

DESCRIPTION_FILE = "cluster.json"

#: To be raised whenever what stands in the file changes.
FORMAT = 1

# Fields of an installation that are no paths.
_TEXTS = frozenset({"version", "series", "origin"})


@attrs.frozen(kw_only=True)
class Description:
    """A cluster that runs, but for its nodes (see `roster`), its token and its keeper (see `keeper.record`).

    `settings` are those that it was made with, `blocks` its addresses, `cluster_name` is full, `stages` tells what its
    boot spent its time on.
    """

    spec: ClusterSpec
    settings: Settings
    installation: GanetiInstallation
    farm: Farm
    engine: str
    cluster_name: str
    blocks: tuple[IPv4Network, ...]
    access: RapiAccess
    stages: tuple[Stage, ...] = ()

    def write(self, root: Path) -> None:
        """Write it into the cluster's folder, whole or not at all, for its owner's eyes: it has the RAPI password."""
        write_json(
            root / DESCRIPTION_FILE,
            {
                "format": FORMAT,
                "spec": self.spec.to_json(),
                "settings": settings_to_json(self.settings),
                "installation": installation_to_json(self.installation),
                "farm": _farm_to_json(self.farm),
                "engine": self.engine,
                "cluster_name": self.cluster_name,
                "blocks": [str(block) for block in self.blocks],
                "access": {**attrs.asdict(self.access), "ca_file": str(self.access.ca_file)},
                "stages": [[stage.name, stage.seconds] for stage in self.stages],
            },
        )

    @classmethod
    def read(cls, root: Path) -> Description:
        """Read that of the cluster in a folder. Raises `KeeperError` where there is none that this version can read."""
        path = root / DESCRIPTION_FILE
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise KeeperError(
                f"{root} has no cluster in it that is ready: there is no {DESCRIPTION_FILE}",
                cure="wait until it has come up, if it is being made; if not, `ganeti-vcluster gc` removes it",
            ) from None
        if value.get("format") != FORMAT:
            raise KeeperError(
                f"{path} was written by another version of pytest-ganeti-vcluster",
                seen=f"format {value.get('format')!r}; this version reads format {FORMAT}",
                cure="use the version that made the cluster, or make the cluster anew",
            )
        try:
            return cls._of(value)
        except (KeyError, TypeError, ValueError, SpecError) as error:
            raise KeeperError(
                f"{path} is not what it should be: {error!r}",
                cure="use the version of pytest-ganeti-vcluster that made the cluster, or make the cluster anew",
            ) from error

    @classmethod
    def _of(cls, value: Mapping[str, Any]) -> Description:
        access = value["access"]
        installation = installation_from_json(value["installation"])
        return cls(
            spec=ClusterSpec.from_json(value["spec"]),
            settings=settings_from_json(value["settings"]),
            installation=installation,
            farm=_farm_from_json(value["farm"], installation, str(value["engine"])),
            engine=str(value["engine"]),
            cluster_name=str(value["cluster_name"]),
            blocks=tuple(IPv4Network(block) for block in value["blocks"]),
            access=RapiAccess(**{**access, "ca_file": Path(access["ca_file"])}),
            stages=tuple(Stage(str(name), float(seconds)) for name, seconds in value["stages"]),
        )


def settings_to_json(settings: Settings) -> dict[str, str]:
    """Return settings as texts by field, such as one may give them; without those that were not given."""
    texts = {}
    for option in OPTIONS:
        value = getattr(settings, option.field)
        if isinstance(value, bool):
            texts[option.field] = "on" if value else "off"
        elif isinstance(value, tuple):
            texts.update({option.field: ",".join(value)} if value else {})
        elif value is not None:
            texts[option.field] = str(value)
        elif option.field == "image_cache":
            texts[option.field] = "off"
    return texts


def settings_from_json(value: Mapping[str, str]) -> Settings:
    """Return what `settings_to_json` gave. Raises `ValueError`."""
    return Settings(
        **{option.field: option.parse(value[option.field]) for option in OPTIONS if option.field in value}
    )


def installation_to_json(installation: GanetiInstallation) -> dict[str, Any]:
    """Return an installation as JSON has it: where everything is."""
    plain = attrs.asdict(installation, recurse=False)
    return {field: _plain(value) for field, value in plain.items()}


def installation_from_json(value: Mapping[str, Any]) -> GanetiInstallation:
    """Return what `installation_to_json` gave. Raises `TypeError`."""
    fields = {field: one if field in _TEXTS else _path(one) for field, one in value.items()}
    return GanetiInstallation(**{**fields, "sshd_helpers": tuple(value["sshd_helpers"])})


def _farm_to_json(farm: Farm) -> dict[str, Any]:
    plain = attrs.asdict(farm, recurse=False)
    del plain["installation"]
    curl = {"folder": _plain(farm.curl.folder), "told": farm.curl.told}
    return {**plain, "folder": str(farm.folder), "daemons": list(farm.daemons), "curl": curl}


def _farm_from_json(value: Mapping[str, Any], installation: GanetiInstallation, engine: str) -> Farm:
    fields = {
        **value,
        "folder": Path(value["folder"]),
        "daemons": tuple(value["daemons"]),
        "curl": CurlLibrary(_path(value["curl"]["folder"]), str(value["curl"]["told"])),
    }
    kind = UnmodifiedGaneti if engine == "namespaces" else Farm
    return kind(installation=installation, **fields)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return None if value is None else str(value)


def _path(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(Path(one) for one in value)
    return None if value is None else Path(value)
