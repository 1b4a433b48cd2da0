from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.cluster.making.image_key import image_key, own_sources
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.images.claims import Claims
from pytest_ganeti_vcluster.images.info import ImageKey
from pytest_ganeti_vcluster.images.store import ImageStore
from pytest_ganeti_vcluster.settings import Settings
from tests.cli.keepers import kill, start

MIB = 1 << 20

KEYS = [ImageKey(f"{number:016x}", f"Ganeti 3.0.{number}", {"sources": own_sources()}) for number in range(4)]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", limit=1 << 30)


def make(folder: Path) -> None:
    folder.mkdir()
    (folder / "file").write_bytes(bytes(MIB))


def remains(store: ImageStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if path.name != "image-locks")


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gvg-", dir="/tmp") as folder:
        yield Path(folder)


def run(
    base: Path, capsys: pytest.CaptureFixture[str], *arguments: str, images: Path | str = "off"
) -> tuple[int, str]:
    capsys.readouterr()
    status = main(["gc", "--root", str(base), "--image-cache", str(images), *arguments])
    return status, capsys.readouterr().out


def run_on_images(
    store: ImageStore, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[str]]:
    """Collect images; the status and what it printed of them."""
    status, text = run(store.folder / "root", capsys, *arguments, images=store.folder)
    first, *lines = text.splitlines()
    assert first.startswith("Nothing stale below ")
    return status, lines


def test_nothing_to_do(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, capsys) == (0, f"Nothing stale below {base}.\n")
    assert run(base / "none", capsys, "--kept") == (0, f"Nothing stale below {base / 'none'}.\n")


def test_what_a_killed_keeper_left_is_reaped_and_a_running_one_left_alone(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, killed = start(base), start(base)
    try:
        children = [killed.spawn(["sleep", "1000"], stdout=killed.root / "out").identity for _ in range(2)]
        kill(killed)
        status, text = run(base, capsys)
        assert status == 0
        assert text == (
            f"{killed.root}: its keeper (process {killed.identity.pid}) has died;"
            " ended 2 processes (2 sleep); removed\n"
        )
        assert not any(child.is_alive() for child in children)
        assert not killed.root.exists()
        assert running.run(["true"]).returncode == 0
    finally:
        running.stop()


def test_kept_roots_are_told_and_removed_only_when_asked(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keepers = [start(base) for _ in range(3)]
    for keeper in keepers:
        keeper.keep_root(True)
    ended, also_ended, killed = keepers
    ended.stop()
    also_ended.stop()
    kill(killed)
    status, text = run(base, capsys)
    assert status == 0
    assert f"{killed.root}: its keeper (process {killed.identity.pid}) has died; the folder is left\n" in text
    assert "3 kept (--kept removes them):\n" in text
    assert all(f"  {keeper.root}\n" in text for keeper in keepers)
    assert all(keeper.root.is_dir() for keeper in keepers)
    status, text = run(base, capsys, "--kept")
    assert status == 0
    assert all(f"{keeper.root}: kept; removed\n" in text for keeper in keepers)
    assert list(base.iterdir()) == []


def test_a_kept_cluster_that_runs_is_no_kept_folder(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = start(base)
    try:
        keeper.keep_root(True)
        assert run(base, capsys, "--kept") == (0, f"Nothing stale below {base}.\n")
        assert keeper.run(["true"]).returncode == 0
    finally:
        keeper.keep_root(False)
        keeper.stop()


def test_no_images(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_on_images(store, capsys) == (0, [f"Images in {store.folder}: 0, 0.0 MiB of 512.0 MiB."])
    assert not store.folder.exists()


def test_images_are_listed_and_left(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    key = image_key(ClusterSpec(), find_installation(Settings.read()), Settings.read())
    for one in (KEYS[0], key):
        store.obtain(one, make)
    status, lines = run_on_images(store, capsys)
    assert status == 0
    heading, last_used, first_used, total = lines
    assert heading.split() == ["image", "of", "size", "made", "last", "used"]
    for line, one in ((last_used, key), (first_used, KEYS[0])):
        row = rf"{one.digest} +{one.label} +1.0 MiB( +\d\d\d\d-\d\d-\d\d \d\d:\d\d){{2}} *"
        assert re.fullmatch(row, line)
    assert total == f"Images in {store.folder}: 2, 2.0 MiB of 512.0 MiB."


def test_images_above_the_limit_go(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    for key in KEYS:
        store.obtain(key, make)
    store.obtain(KEYS[0], make)
    status, lines = run_on_images(store, capsys, "--image-limit", "3")
    assert status == 0
    assert lines[:2] == [
        f"{store.folder}/image-{key} ({key.label}): was not used for longest; removed" for key in KEYS[1:3]
    ]
    assert remains(store) == [f"image-{KEYS[0]}", f"image-{KEYS[3]}"]
    assert lines[-1] == f"Images in {store.folder}: 2, 2.0 MiB of 3.0 MiB; made room of 2.0 MiB."


def test_images_of_no_use_go_first(
    store: ImageStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    installation = find_installation(Settings.read())
    gone = attrs.evolve(installation, prefix=tmp_path, share=tmp_path / "share", lib=tmp_path / "lib")
    keys = [
        image_key(ClusterSpec(), installation, Settings.read()),
        image_key(ClusterSpec(), gone, Settings.read()),
        ImageKey("0123456789abcdef", "Ganeti 3.0.2", {"version": "0.0.1", "sources": "others"}),
    ]
    for key in keys:
        store.obtain(key, make)
    # The last used are of no use, the least recently used would have to go.
    status, lines = run_on_images(store, capsys, "--image-limit", "2")
    assert status == 0
    assert lines[:2] == [
        f"{store.folder}/image-{keys[1]} ({keys[1].label}): its Ganeti is gone from {tmp_path}; removed",
        f"{store.folder}/image-{keys[2]} (Ganeti 3.0.2): was made by another pytest-ganeti-vcluster (0.0.1); removed",
    ]
    assert remains(store) == [f"image-{keys[0]}"]


def test_all_images_go_when_asked_but_what_somebody_works_on(
    store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in KEYS[:3]:
        store.obtain(key, make)
    with Claims(store.folder / "image-locks").hold(str(KEYS[1]), "image", 5.0, print):
        status, lines = run_on_images(store, capsys, "--images")
    assert status == 0
    assert lines[:2] == [
        f"{store.folder}/image-{key} ({key.label}): you asked for it; removed" for key in (KEYS[0], KEYS[2])
    ]
    assert remains(store) == [f"image-{KEYS[1]}"]
    assert lines[-1].endswith("; made room of 2.0 MiB.")


def test_what_killed_builders_left_goes(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    def give_up(folder: Path) -> None:
        make(folder)
        os._exit(9)

    child = os.fork()
    if child == 0:
        store.obtain(KEYS[0], give_up)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (left,) = remains(store)
    status, lines = run_on_images(store, capsys)
    assert (status, lines) == (
        0,
        [
            f"{store.folder}/{left}: was never finished; removed",
            f"Images in {store.folder}: 0, 0.0 MiB of 512.0 MiB; made room of 1.0 MiB.",
        ],
    )
    assert remains(store) == []


def test_an_image_that_cannot_be_removed_is_a_failure(
    store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root removes everything")
    store.obtain(KEYS[0], make)
    store.folder.chmod(0o500)
    try:
        status, lines = run_on_images(store, capsys, "--images")
    finally:
        store.folder.chmod(0o700)
    assert status == 1
    assert (
        lines[0]
        == f"{store.folder}/image-{KEYS[0]} ({KEYS[0].label}): you asked for it; could not be removed"
    )
    assert lines[-1] == f"Images in {store.folder}: 1, 1.0 MiB of 512.0 MiB."
