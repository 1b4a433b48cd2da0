"""What an image is called, and what is written down beside it."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

#: Beside an image's content; its time of modification is when the image was last used.
INFO_FILE = "image.json"

#: Room that a file or folder takes is given out in pieces of this size on most file systems.
_BLOCK = 4096


@attrs.frozen
class ImageKey:
    """Which image is meant: equal digests (short hex), equal content.

    `label` says for people what it is an image of, and `facts` what went into the digest, for those who look
    whether it is still of use.
    """

    digest: str = attrs.field(validator=attrs.validators.matches_re("[0-9a-f]{8,64}"))
    label: str = attrs.field(default="", eq=False)
    facts: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)

    def __str__(self) -> str:
        return self.digest


@attrs.frozen(kw_only=True)
class ImageInfo:
    """One image in a store: its key's digest, label and facts; `size` in bytes; `created` and `used` as `time.time`.

    `content` is the folder of the content. One without (None) is no image: its record cannot be read.
    """

    key: str
    folder: Path
    content: Path | None
    label: str
    size: int
    created: float
    used: float
    facts: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def is_broken(self) -> bool:
        """Whether it cannot even be told what it is."""
        return self.content is None

    @classmethod
    def read(cls, folder: Path) -> ImageInfo | None:
        """Read what is written down in an image's folder; None where there is no such folder."""
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode):
                return cls._broken(folder, found.st_mtime)
            used = (folder / INFO_FILE).stat().st_mtime
            value = json.loads((folder / INFO_FILE).read_text(encoding="utf-8"))
            content = folder / str(value["content"])
            key = folder.name.partition("-")[2]
            if value["key"] != key or content.parent != folder or not content.is_dir():
                return cls._broken(folder, used)
            return cls(
                key=key,
                folder=folder,
                content=content,
                label=str(value["label"]),
                size=int(value["size"]),
                created=float(value["created"]),
                used=used,
                facts=dict(value["facts"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return cls._broken(folder, 0.0) if folder.is_symlink() or folder.exists() else None

    @classmethod
    def _broken(cls, folder: Path, used: float) -> ImageInfo:
        return attrs.evolve(
            cls.of_remains(folder), label="(its record cannot be read)", created=used, used=used
        )

    @classmethod
    def of_remains(cls, folder: Path) -> ImageInfo:
        """Tell what little there is to tell of a folder that is no image."""
        return cls(
            key=folder.name.partition("-")[2],
            folder=folder,
            content=None,
            label=folder.name,
            size=room_of(folder),
            created=0.0,
            used=0.0,
        )

    def to_json(self) -> dict[str, Any]:
        """It as `image.json` has it."""
        return {
            "key": self.key,
            "label": self.label,
            "content": self.content.name if self.content is not None else "",
            "size": self.size,
            "created": self.created,
            "facts": dict(self.facts),
        }


def room_of(path: Path) -> int:
    """Bytes that a file, or a folder and all in it, takes on a disk, about; 0 for what is not there.

    Reckoned from the sizes: how many blocks are allocated some file systems know only a while after a write.
    """
    try:
        found = path.lstat()
        inside = list(path.iterdir()) if stat.S_ISDIR(found.st_mode) else []
    except OSError:
        return 0
    size = min(found.st_size, found.st_blocks * 512) if found.st_size > 1 << 20 else found.st_size
    return -(-max(size, 1) // _BLOCK) * _BLOCK + sum(room_of(one) for one in inside)
