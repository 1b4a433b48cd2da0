"""Stores, and processes that use one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.images.store import ImageStore
from pytest_ganeti_vcluster.settings import Settings

from .samples import capture, make_source
from .user_process import StartUser


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """A store of which nothing is there yet."""
    return ImageStore(tmp_path / "cache/images", limit=1 << 30, patience=60.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Folder of what images are captured from."""
    folder = tmp_path / "source"
    make_source(folder)
    return folder


class Maker:
    """Makes images, and counts how many."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.made = 0

    def __call__(self, folder: Path) -> None:
        capture(self.source, folder)
        self.made += 1


@pytest.fixture
def make(source: Path) -> Maker:
    return Maker(source)


@pytest.fixture
def start_user(store: ImageStore, source: Path) -> Iterator[StartUser]:
    """Starts processes that obtain an image of the store."""
    start = StartUser(store, source)
    yield start
    for user in start.users:
        user.end()


@pytest.fixture(scope="session")
def real_installation() -> GanetiInstallation:
    """The Ganeti that tests run on."""
    return find_installation(Settings.read())
