"""Ganeti's own RAPI client, found where an installation has it, set up to check our certificate."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pytest_ganeti_vcluster.errors import MachineError

#: Where the module is below the folder of an installation's Python modules.
MODULE_FILE = Path("ganeti/rapi/client.py")
_DEFAULT_PORT = 5080
_INSTEAD = "or use get(), post(), put() and delete() of the RapiClient, which need neither"


def official_client(
    url: str,
    username: str,
    password: str,
    *,
    ca_file: Path,
    check_name: bool,
    server_name: str | None,
    timeout: float,
    folder: Path | None,
) -> Any:
    """Give a `GanetiRapiClient` for `url`; with `check_name` the certificate must name the host.

    Raises `MachineError` where module or pycurl are absent.
    """
    module = client_module(folder)
    pycurl = importlib.import_module("pycurl")
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORT
    generic = module.GenericCurlConfig(
        cafile=str(ca_file),
        verify_hostname=check_name,
        proxy="",
        connect_timeout=max(1, round(timeout)),
        timeout=max(1, round(timeout)),
    )

    def configure(curl: Any, logger: Any) -> None:
        generic(curl, logger)
        if server_name is not None:
            # The certificate is checked against the host of the URL: ask for that name at our address.
            curl.setopt(pycurl.CONNECT_TO, [f"{server_name}:{port}:{host}:{port}"])

    return module.GanetiRapiClient(
        host if server_name is None else server_name,
        port=port,
        username=username,
        password=password,
        curl_config_fn=configure,
    )


def client_module(folder: Path | None) -> ModuleType:
    """Give Ganeti's module `ganeti.rapi.client`, loaded from `folder` or imported if that is `None`.

    From a folder only this one file is loaded, for it stands alone ("No Ganeti-specific modules should be
    imported"), and the rest of a Ganeti does not get into this process. Its error classes are in
    `sys.modules[type(client).__module__]`.
    """
    try:
        return importlib.import_module("ganeti.rapi.client") if folder is None else _load(folder)
    except ModuleNotFoundError as problem:
        missing = problem.name or ""
        if missing.partition(".")[0] == "ganeti":
            raise MachineError(
                "Ganeti's RAPI client, the Python module ganeti.rapi.client, is not installed",
                cure=f"install python3-ganeti-rapi where this Python finds it, {_INSTEAD}",
            ) from problem
        raise MachineError(
            f"Ganeti's RAPI client needs the Python module {missing}, which {sys.executable} does not have",
            cure=f"install it ({sys.executable} -m pip install pycurl simplejson), {_INSTEAD}",
        ) from problem
    except ImportError as problem:
        # pycurl built for another libcurl or TLS library than the one that is there says so like this.
        raise MachineError(
            f"Ganeti's RAPI client cannot be imported: {problem}", cure=_INSTEAD[3:]
        ) from problem


def _load(folder: Path) -> ModuleType:
    path = Path(folder) / MODULE_FILE
    if not path.is_file():
        raise MachineError(
            f"Ganeti's RAPI client is not where it is looked for: there is no {path}",
            cure=f"give the folder that has {MODULE_FILE} in it, {_INSTEAD}",
        )
    name = f"ganeti_rapi_client_{zlib.crc32(str(path.resolve()).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does it: the error classes can be pickled
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
