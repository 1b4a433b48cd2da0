"""What a store gives, keeps and removes."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.images.claims import Claims
from pytest_ganeti_vcluster.images.info import ImageKey
from pytest_ganeti_vcluster.images.store import ImageStore
from pytest_ganeti_vcluster.settings import Settings

from .conftest import Maker
from .samples import KEY, OTHER_KEY, damage, remains


def keys() -> Iterator[ImageKey]:
    number = 0
    while True:
        number += 1
        yield ImageKey(f"{number:016x}", f"number {number}")


def used(store: ImageStore) -> list[str]:
    """Keys of the images, least recently used first."""
    return [info.key for info in store.images()]


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_an_image_is_made_once(store: ImageStore, make: Maker) -> None:
    content = store.obtain(KEY, make)
    assert not damage(content)
    assert store.obtain(KEY, make) == content
    assert make.made == 1
    assert store.obtain(OTHER_KEY, make) != content
    assert make.made == 2


def test_images_are_told_by_what_is_written_beside_them(store: ImageStore, make: Maker) -> None:
    before = time.time()
    content = store.obtain(KEY, make)
    (info,) = store.images()
    assert (info.key, info.label, info.content) == (KEY.digest, KEY.label, content)
    assert info.facts == {"sources": "none"}
    assert before <= info.created <= time.time()
    files = [path for path in content.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < info.size == store.size() < 1 << 20


@pytest.mark.usefixtures("open_umask")
def test_nobody_else_may_read_what_is_in_an_image(store: ImageStore, make: Maker) -> None:
    store.obtain(KEY, make)
    for path in (store.folder, *store.folder.rglob("*")):
        if not path.name.endswith(".lock"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_builder_that_fails_leaves_nothing(store: ImageStore, make: Maker) -> None:
    def fail(folder: Path) -> None:
        make(folder)
        raise BootFailed("node1 does not answer")

    def interrupt(folder: Path) -> None:
        make(folder)
        raise KeyboardInterrupt

    with pytest.raises(BootFailed, match="node1 does not answer"):
        store.obtain(KEY, fail)
    assert remains(store) == []
    with pytest.raises(KeyboardInterrupt):
        store.obtain(KEY, interrupt)
    assert remains(store) == []
    assert not damage(store.obtain(KEY, make))


def test_above_the_limit_the_least_recently_used_go(store: ImageStore, make: Maker) -> None:
    first, second, third, fourth = (key for key, _ in zip(keys(), range(4)))
    for key in (first, second, third):
        store.obtain(key, make)
    store.obtain(first, make)
    assert used(store) == [str(second), str(third), str(first)]
    size = store.size() // 3
    limited = ImageStore(store.folder, limit=2 * size)
    limited.obtain(fourth, make)
    assert used(store) == [str(first), str(fourth)]
    assert remains(store) == []


def test_the_one_just_built_stays_whatever_the_limit(store: ImageStore, make: Maker) -> None:
    limited = ImageStore(store.folder, limit=1)
    for key, _ in zip(keys(), range(3)):
        assert not damage(limited.obtain(key, make))
        assert used(store) == [str(key)]


def test_an_image_whose_lock_is_held_stays(store: ImageStore, make: Maker) -> None:
    store.obtain(KEY, make)
    store.obtain(OTHER_KEY, make)
    with Claims(store.folder / "image-locks").hold(str(KEY), "image", 5.0, print):
        (removed,) = store.collect(0)
        assert removed.info.key == str(OTHER_KEY)
        assert used(store) == [str(KEY)]
    (removed,) = store.collect(0)
    assert (removed.info.key, removed.why, removed.gone) == (str(KEY), "was not used for longest", True)
    assert store.images() == []


def test_what_is_of_no_use_goes_first(store: ImageStore, make: Maker) -> None:
    first, second, third = (key for key, _ in zip(keys(), range(3)))
    for key in (first, second, third):
        store.obtain(key, make)
    limit = store.size() - 1
    removed = store.collect(limit, of_no_use=lambda info: "is odd" if info.key == str(third) else "")
    assert [(one.info.key, one.why) for one in removed] == [(str(third), "is odd")]
    assert used(store) == [str(first), str(second)]


def test_what_was_used_since_somebody_looked_stays(store: ImageStore, make: Maker) -> None:
    store.obtain(KEY, make)

    def use(_info: object) -> str:
        # Between looking and removing.
        store.obtain(KEY, make)
        return "is odd"

    assert store.collect(of_no_use=use) == []
    assert used(store) == [str(KEY)]


def test_an_image_is_not_removed_while_another_builds_it(store: ImageStore, make: Maker) -> None:
    making, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        make(folder)
        making.set()
        assert go_on.wait(30)

    thread = threading.Thread(target=store.obtain, args=(KEY, slow))
    thread.start()
    assert making.wait(30)
    assert store.collect(0) == []
    go_on.set()
    thread.join(30)
    assert used(store) == [str(KEY)]
    assert remains(store) == []


def test_what_others_keep_in_the_folder_is_left_alone(store: ImageStore, make: Maker) -> None:
    store.obtain(KEY, make)
    names = [
        "notes",
        "image",
        "image-of-a-cat",
        ".new-idea",
        ".old-image",
        "0123456789abcdef",
        "image-0123456789abcdeg",
    ]
    for name in names:
        (store.folder / name).mkdir()
    assert [one.info.key for one in store.collect(0)] == [str(KEY)]
    assert sorted(names) == remains(store)


def test_what_another_host_makes_is_left_behind_after_a_day_only(store: ImageStore, make: Maker) -> None:
    store.obtain(OTHER_KEY, make)
    theirs = store.folder / f".new-image-{KEY}-00000000"
    theirs.mkdir()
    assert store.collect() == []
    store.obtain(KEY, make)
    assert theirs.is_dir()
    long_ago = time.time() - 90000
    os.utime(theirs, (long_ago, long_ago))
    (removed,) = store.collect()
    assert removed.why == "was never finished"
    assert remains(store) == []


def test_where_another_host_was_quicker_its_image_is_used(
    store: ImageStore, make: Maker, tmp_path: Path
) -> None:
    # It shares the folder with us, and no locks.
    other_host = ImageStore(tmp_path / "other", limit=1 << 30)

    def slow(folder: Path) -> None:
        make(folder)
        other_host.obtain(KEY, make)
        (other_host.folder / f"image-{KEY}").rename(store.folder / f"image-{KEY}")

    content = store.obtain(KEY, slow)
    assert not damage(content)
    assert [info.content for info in store.images()] == [content]
    assert remains(store) == []


def test_the_store_of_a_run_is_what_its_options_say(tmp_path: Path) -> None:
    assert ImageStore.of(Settings(image_cache=None)) is None
    assert ImageStore.of(Settings(image_cache=tmp_path, image_limit=3, timeout=10.0)) == ImageStore(
        tmp_path, 3 << 20, 20.0
    )


@pytest.mark.parametrize("text", ["", "0123", "../../etc", "0123456789ABCDEF", "0123456789abcdef/x"])
def test_a_digest_is_a_name_that_cannot_lead_elsewhere(text: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        ImageKey(text)
