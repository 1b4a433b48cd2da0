"""Folders that images cannot be kept in: one clear error each, and nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import ImageCacheUnusable
from pytest_ganeti_vcluster.images.store import ImageStore

from .conftest import Maker
from .samples import KEY, damage

#: What every such error says of what to do.
CURE = (
    "give another folder (--vcluster-image-cache=FOLDER), or go without images (--vcluster-image-cache=off)"
)


def error_of(folder: Path, make: Maker) -> ImageCacheUnusable:
    with pytest.raises(ImageCacheUnusable) as caught:
        ImageStore(folder, limit=1 << 30).obtain(KEY, make)
    assert caught.value.message == f"images of clusters cannot be kept in {folder}"
    assert CURE in caught.value.cure
    assert make.made == 0
    return caught.value


@pytest.mark.parametrize(
    ("folder", "seen"),
    [
        ("/proc/self/none/images", "No such file or directory"),
        ("/proc/none", "No such file or directory"),
        ("/dev/null/images", "Not a directory"),
        ("/dev/null", "it is no folder"),
        ("/" + 300 * "x", "File name too long"),
        ("/tmp/" + 4100 * "x/", "File name too long"),
    ],
)
def test_absurd_places(folder: str, seen: str, make: Maker) -> None:
    assert seen in error_of(Path(folder), make).seen


def test_a_link_to_nowhere(tmp_path: Path, make: Maker) -> None:
    (tmp_path / "images").symlink_to("nowhere")
    assert "File exists" in error_of(tmp_path / "images", make).seen
    assert not (tmp_path / "nowhere").exists()


def test_a_link_to_a_folder_will_do(tmp_path: Path, make: Maker) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "images").symlink_to("elsewhere")
    assert not damage(ImageStore(tmp_path / "images", limit=1 << 30).obtain(KEY, make))


@pytest.mark.parametrize("mode", [0o500, 0o000, 0o600])
def test_a_folder_that_is_closed_to_us(mode: int, tmp_path: Path, make: Maker) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    folder = tmp_path / "images"
    folder.mkdir()
    folder.chmod(mode)
    try:
        assert "Permission denied" in error_of(folder, make).seen
    finally:
        folder.chmod(0o700)
    assert list(folder.iterdir()) == []


def test_a_folder_in_which_others_may_write(tmp_path: Path, make: Maker) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for mode in (0o770, 0o707, 0o1777):
        folder.chmod(mode)
        error = error_of(folder, make)
        assert error.seen == f"others may write there (mode {mode:04o}), and what is in images runs as you"
        assert error.cure == f"run `chmod go-w {folder}`, {CURE}"
        with pytest.raises(ImageCacheUnusable):
            ImageStore(folder, limit=1).collect()
    folder.chmod(0o755)
    assert not damage(ImageStore(folder, limit=1 << 30).obtain(KEY, make))


def test_a_folder_of_another_user(make: Maker) -> None:
    if os.geteuid() == 0:
        pytest.skip("root's own folders are everywhere")
    assert error_of(Path("/etc"), make).seen == "it belongs to another user (uid 0), and images hold keys"


#: Run with a file system of its own on /mnt, of 256 KiB.
SCRIPT = """
import subprocess, sys
from pathlib import Path
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.images.store import ImageStore
from tests.images.samples import KEY, OTHER_KEY, capture, damage, make_source, remains

source = Path(sys.argv[1])
make_source(source)
store = ImageStore(Path("/mnt/images"), limit=1 << 30)

def make(folder):
    capture(source, folder)

def attempt(key, make):
    try:
        return store.obtain(key, make)
    except VClusterError as error:
        print(f"{type(error).__name__}: {error.message} ({error.seen}) {error.cure}")

content = attempt(KEY, make)

def make_too_much(folder):
    make(folder)
    (folder / "large").write_bytes(bytes(1 << 20))

attempt(OTHER_KEY, make_too_much)
print(remains(store), damage(content))
with open("/mnt/fill", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
attempt(OTHER_KEY, make)
print(remains(store), damage(content))
# Using what is there, and giving it up, needs no room.
print(store.obtain(KEY, make) == content)
subprocess.run(["mount", "-n", "-t", "tmpfs", "-o", "remount,ro", "tmpfs", "/mnt"], check=True)
print(store.obtain(KEY, make) == content, damage(content))
attempt(OTHER_KEY, make)
try:
    store.collect(0)
except VClusterError as error:
    print(f"{type(error).__name__}: {error.seen}")
subprocess.run(["mount", "-n", "-t", "tmpfs", "-o", "remount,rw", "tmpfs", "/mnt"], check=True)
store.discard(content)
print(store.images(), remains(store))
"""


def test_a_full_and_then_a_read_only_file_system(tmp_path: Path) -> None:
    unshare = (
        ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    )
    # The mount is seen in its own namespace only, and goes with it.
    mount = ["sh", "-ec", 'mount -t tmpfs -o size=256k,mode=0700 tmpfs /mnt; "$@"', "sh"]
    if subprocess.run([*unshare, *mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces for this user on this machine")
    result = subprocess.run(
        [*unshare, *mount, sys.executable, "-c", SCRIPT, str(tmp_path / "source")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    full = (
        "DiskFull: no room left for an image in /mnt/images ([Errno 28] No space left on device{})"
        f" make room there (`ganeti-vcluster gc --images` removes images), {CURE}"
    )
    lines = iter(result.stdout.splitlines())
    assert result.returncode == 0, result.stderr
    assert next(lines) == full.format("")
    assert next(lines) == "[] "
    assert next(lines).startswith(full.partition("{}")[0])
    assert next(lines) == "[] "
    assert next(lines) == "True"
    assert next(lines) == "True "
    assert next(lines).startswith(
        "ImageCacheUnusable: images of clusters cannot be kept in /mnt/images ([Errno 30]"
    )
    assert next(lines).startswith("ImageCacheUnusable: [Errno 30] Read-only file system: '/mnt/images/")
    assert next(lines) == "[] []"
    assert list(lines) == []
