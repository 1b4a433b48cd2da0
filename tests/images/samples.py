"""Small real images: what they are captured from, what is in them, and stores for them."""

from __future__ import annotations

from pathlib import Path

from pytest_ganeti_vcluster.errors import ImageDamaged
from pytest_ganeti_vcluster.images.content import Content
from pytest_ganeti_vcluster.images.info import ImageKey
from pytest_ganeti_vcluster.images.store import ImageStore
from pytest_ganeti_vcluster.images.words import Words

KEY = ImageKey("0123456789abcdef", "Ganeti 3.0.2, 1 node, diskless", {"sources": "none"})
OTHER_KEY = ImageKey("fedcba9876543210", "Ganeti 3.1.1, 2 nodes, file", {"sources": "none"})

#: As a cluster in `/tmp/first` has them; large enough for several blocks of a disk, small enough to be quick.
FILES = {
    "node1.vc/etc/default/ganeti": b"NODED_ARGS='-b 127.70.0.1'\n",
    "node1.vc/var/lib/ganeti/config.data": b'{"root": "/tmp/first", "serial_no": 7}\n',
    "node1.vc/var/lib/ganeti/server.pem": b"-----BEGIN PRIVATE KEY-----\n",
    "node2.vc/empty": b"",
}
TOPS = ("node1.vc", "node2.vc")


def words(root: str) -> Words:
    return Words.of({"root": root})


def make_source(source: Path) -> None:
    """Lay out what a cluster might leave."""
    for path, data in FILES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)


def capture(source: Path, folder: Path) -> None:
    Content.capture(source, folder, TOPS, words("/tmp/first"))


def stored(folder: Path, path: str) -> Path:
    """Return the file of a content that holds what is to be at a path."""
    return folder / "tree" / Content.load(folder).entries[path].digest


def damage(folder: Path) -> str:
    """Say what is wrong with a content; empty where it is whole."""
    try:
        content = Content.load(folder)
        content.check()
    except ImageDamaged as error:
        return str(error)
    return (
        ""
        if {path for path, entry in content.entries.items() if entry.kind == "file"} == set(FILES)
        else "other"
    )


def remains(store: ImageStore) -> list[str]:
    """Name what is in a store's folder beside whole images and locks."""
    whole = {
        info.folder.name for info in store.images() if info.content is not None and not damage(info.content)
    }
    return sorted({path.name for path in store.folder.iterdir()} - whole - {"image-locks"})
