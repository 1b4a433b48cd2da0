"""Kills a process at each single thing that it does to a store's files, and looks each time what that left.

As a program: arguments are what is done (see `DEEDS`) and a folder to work in. For each place a child is forked that
kills itself there; then the image is obtained again. Prints a JSON list of what was wrong, and in how many places.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Callable

from pytest_ganeti_vcluster.images.store import ImageStore
from tests.images.samples import KEY, OTHER_KEY, capture, damage, make_source, remains

#: What changes files, as Python's audit events name it.
CHANGES = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.utime", "os.chmod", "shutil.rmtree"}

Make = Callable[[Path], None]


def obtain(store: ImageStore, make: Make) -> None:
    store.obtain(KEY, make)


def discard(store: ImageStore, make: Make) -> None:
    store.discard(store.obtain(KEY, make))


def collect(store: ImageStore, make: Make) -> None:
    store.collect(0)


def make_room(store: ImageStore, make: Make) -> None:
    # Its own image does not fit beside the one that is there.
    ImageStore(store.folder, limit=1).obtain(KEY, make)


def build_again(store: ImageStore, make: Make) -> None:
    (store.folder / f"image-{KEY}/image.json").write_text("{", encoding="utf-8")
    store.obtain(KEY, make)


#: By name: what is done, and which images are there before.
DEEDS = {
    "obtain": (obtain, []),
    "discard": (discard, [KEY]),
    "collect": (collect, [KEY, OTHER_KEY]),
    "make_room": (make_room, [OTHER_KEY]),
    "build_again": (build_again, [KEY]),
}


def kill_at(number: int) -> None:
    """Kill this process right before it changes, or opens, a file for the so-manieth time from now."""
    left = number

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        # Whatever path it is: in a folder that is being removed they are relative ones.
        nonlocal left
        if event in CHANGES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    deed, there = DEEDS[sys.argv[1]]
    work = Path(sys.argv[2])
    source = work / "source"
    make_source(source)

    def make(folder: Path) -> None:
        capture(source, folder)

    wrong: list[str] = []
    number = 0
    status = -1
    while status != 0:
        number += 1
        store = ImageStore(work / f"images{number}", limit=1 << 30, patience=5.0)
        for key in there:
            store.obtain(key, make)
        child = os.fork()
        if child == 0:
            kill_at(number)
            deed(store, make)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in {0, -signal.SIGKILL}, status
        # A whole one is taken for whole, and half of one never is.
        wrong += [
            f"{number}: {found}"
            for info in store.images()
            if info.content and (found := damage(info.content))
        ]
        wrong += [f"{number}: {found}" for _ in range(2) if (found := damage(store.obtain(KEY, make)))]
        store.collect()
        wrong += [f"{number}: left {name}" for name in remains(store)]
        shutil.rmtree(store.folder)
    print(json.dumps([wrong, number - 1]))


if __name__ == "__main__":
    main()
