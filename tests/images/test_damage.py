"""Whatever is done to the files of an image, it is noticed, and the image is built again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import ImageDamaged
from pytest_ganeti_vcluster.images.content import Content
from pytest_ganeti_vcluster.images.files import digest_of
from pytest_ganeti_vcluster.images.store import ImageStore

from .conftest import Maker
from .samples import FILES, KEY, damage, remains, stored, words


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def puts(folder: Path, target: Path) -> bool:
    """Put an image's content into a new folder, as a clone does: right, or not at all."""
    target.mkdir()
    try:
        Content.load(folder).put(target, words("/tmp/second"))
    except ImageDamaged:
        return False
    made = {str(path.relative_to(target)): path.read_bytes() for path in files_of(target)}
    assert made == {path: data.replace(b"/tmp/first", b"/tmp/second") for path, data in FILES.items()}
    return True


@pytest.fixture
def content(store: ImageStore, make: Maker) -> Path:
    """The content of an image that is whole."""
    content = store.obtain(KEY, make)
    assert not damage(content)
    return content


def test_every_flipped_byte_is_noticed(content: Path, tmp_path: Path) -> None:
    flips = 0
    for path in files_of(content):
        data = path.read_bytes()
        for offset in range(len(data)):
            # Another bit of each byte.
            path.write_bytes(data[:offset] + bytes([data[offset] ^ 1 << offset % 8]) + data[offset + 1 :])
            assert damage(content), f"{path}: {offset}"
            assert not puts(content, tmp_path / f"target{flips}"), f"{path}: {offset}"
            flips += 1
        path.write_bytes(data)
    assert flips > 500
    assert puts(content, tmp_path / "target")


def test_every_truncation_and_every_appended_byte_is_noticed(content: Path, tmp_path: Path) -> None:
    changes = 0
    for path in files_of(content):
        data = path.read_bytes()
        for changed in [*(data[:length] for length in range(len(data))), data + b"\0", data + b"\n"]:
            path.write_bytes(changed)
            assert damage(content), f"{path}: {len(changed)} bytes of {len(data)}"
            assert not puts(content, tmp_path / f"target{changes}"), f"{path}: {len(changed)}"
            changes += 1
        path.write_bytes(data)
    assert changes > 500
    assert puts(content, tmp_path / "target")


def test_every_missing_file_is_noticed(content: Path, tmp_path: Path) -> None:
    for number, path in enumerate(files_of(content)):
        away = path.rename(tmp_path / "away")
        assert damage(content), path
        assert not puts(content, tmp_path / f"target{number}"), path
        away.rename(path)
    assert puts(content, tmp_path / "target")


def test_an_additional_file_is_noticed_and_never_put(content: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("extra", "0" * 64)):
        extra = content / "tree" / name
        extra.write_text("by somebody", encoding="utf-8")
        assert damage(content)
        assert puts(content, tmp_path / f"target{number}")
        extra.unlink()
    assert not damage(content)


def test_what_files_have_in_common_is_kept_once(tmp_path: Path) -> None:
    for node in ("node1.vc", "node2.vc"):
        (tmp_path / "source" / node).mkdir(parents=True)
        (tmp_path / "source" / node / "same").write_bytes(b"of /tmp/first\n")
        (tmp_path / "source" / node / "own").write_text(node, encoding="utf-8")
        with (tmp_path / "source" / node / "disk").open("wb") as disk:
            disk.truncate(5_000_000)
    content = Content.capture(
        tmp_path / "source", tmp_path / "content", ["node1.vc", "node2.vc"], words("/tmp/first")
    )
    assert len(list((tmp_path / "content/tree").iterdir())) == 4
    content.check()
    (tmp_path / "target").mkdir()
    content.put(tmp_path / "target", words("/tmp/second"))
    for node in ("node1.vc", "node2.vc"):
        assert (tmp_path / "target" / node / "same").read_bytes() == b"of /tmp/second\n"
        assert (tmp_path / "target" / node / "own").read_text(encoding="utf-8") == node
        assert (tmp_path / "target" / node / "disk").stat().st_size == 5_000_000
        assert (tmp_path / "target" / node / "same").stat().st_nlink == 1


def test_files_that_are_exchanged_are_noticed(content: Path, tmp_path: Path) -> None:
    one, other = (stored(content, path) for path in list(FILES)[:2])
    one.rename(tmp_path / "away")
    other.rename(one)
    (tmp_path / "away").rename(other)
    assert damage(content)
    assert not puts(content, tmp_path / "target")


def flip(content: Path) -> None:
    path = stored(content, "node1.vc/var/lib/ganeti/config.data")
    data = path.read_bytes()
    path.write_bytes(data[:5] + b"?" + data[6:])


def empty_manifest(content: Path) -> None:
    (content / "manifest.json").write_bytes(b"")


def remove_file(content: Path) -> None:
    stored(content, "node2.vc/empty").unlink()


def remove_tree(content: Path) -> None:
    (content / "tree").rename(content.parent / "elsewhere")


def make_unreadable(content: Path) -> None:
    (content / "tree").chmod(0)


def remove_record(content: Path) -> None:
    (content.parent / "image.json").unlink()


def remove_content(content: Path) -> None:
    content.rename(content.parent / "elsewhere")


DAMAGES = [flip, empty_manifest, remove_file, remove_tree, make_unreadable, remove_record, remove_content]


@pytest.mark.parametrize("hurt", DAMAGES, ids=lambda hurt: str(hurt.__name__))
def test_a_damaged_image_is_built_again(
    hurt: Callable[[Path], None], content: Path, store: ImageStore, make: Maker, tmp_path: Path
) -> None:
    if hurt is make_unreadable and os.geteuid() == 0:
        pytest.skip("root reads everything")
    targets = numbered(tmp_path)
    hurt(content)

    def read(folder: Path) -> Path:
        target = next(targets)
        target.mkdir()
        Content.load(folder).put(target, words("/tmp/second"))
        return target

    told: list[str] = []
    target = store.use(KEY, make, read, told.append)
    assert (
        target / "node1.vc/var/lib/ganeti/config.data"
    ).read_bytes() == b'{"root": "/tmp/second", "serial_no": 7}\n'
    assert make.made == 2
    assert remains(store) == []
    # What can be seen without reading is built again without a word.
    if told:
        assert told == [line for line in told if "is of no use and built again: what is kept in" in line]
    assert store.use(KEY, make, read) != target
    assert make.made == 2


def numbered(folder: Path) -> Iterator[Path]:
    number = 0
    while True:
        number += 1
        yield folder / f"target{number}"


def test_every_flipped_byte_of_a_record_does_no_harm(store: ImageStore, content: Path, make: Maker) -> None:
    record = content.parent / "image.json"
    data = record.read_bytes()
    for number in range(len(data)):
        offset = min(number, len(data) - 1)
        record.write_bytes(data[:offset] + bytes([data[offset] ^ 1 << offset % 8]) + data[offset + 1 :])
        found = store.obtain(KEY, make)
        assert not damage(found)
        if found != content:
            # It was built again, and has other names in it.
            content, record = found, found.parent / "image.json"
            data = record.read_bytes()
        record.write_bytes(data)
    assert 10 < make.made < len(data)
    assert remains(store) == []


def test_an_image_that_cannot_be_mended_is_not_tried_for_ever(store: ImageStore, make: Maker) -> None:
    def read(folder: Path) -> None:
        flip(folder)
        Content.load(folder).check()

    with pytest.raises(ImageDamaged, match=r"config.data has other contents"):
        store.use(KEY, make, read)
    assert make.made == 3
    assert remains(store) == []


def test_an_image_removed_while_it_is_read_is_obtained_again(
    store: ImageStore, make: Maker, tmp_path: Path
) -> None:
    removals = [1]

    def empty(folder: Path) -> Path:
        return folder / "tree" / digest_of(b"")

    def read(folder: Path) -> bytes:
        assert empty(folder).exists()
        if removals:
            removals.pop()
            program = "import sys; from pytest_ganeti_vcluster.cli import main; sys.exit(main(sys.argv[1:]))"
            arguments = [
                "gc",
                "--images",
                "--root",
                str(tmp_path / "root"),
                "--image-cache",
                str(store.folder),
            ]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            subprocess.run([sys.executable, "-c", program, *arguments], env=environment, check=True)
        return empty(folder).read_bytes()

    assert store.use(KEY, make, read) == b""
    assert make.made == 2


def test_errors_that_are_not_the_images_are_raised_as_they_are(
    store: ImageStore, make: Maker, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        store.use(KEY, make, lambda _folder: (tmp_path / "none").read_bytes())
    assert make.made == 1
    assert len(store.images()) == 1


def test_discarding_what_another_has_built_again_leaves_it(
    store: ImageStore, content: Path, make: Maker
) -> None:
    store.discard(content)
    assert store.images() == []
    again = store.obtain(KEY, make)
    store.discard(content)
    assert [info.content for info in store.images()] == [again]
    assert again != content
