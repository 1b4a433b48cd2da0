"""Many processes want one image at once: one builds it, the others wait, whatever becomes of the one."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import ImageError
from pytest_ganeti_vcluster.images.store import ImageStore

from .conftest import Maker
from .samples import KEY, OTHER_KEY, damage, remains
from .user_process import StartUser, User


def next_news(user: User, old: User | None) -> str:
    """Wait for the next line that is not about waiting for the old builder, still or again."""
    while True:
        line = user.next_line()
        if old is None or f"on which process {old.process.pid} (" not in line:
            return line


def find_maker(users: list[User], old: User | None = None) -> tuple[User, list[User]]:
    """Find who makes the image, once all others say that they wait for that one."""
    news = {user: next_news(user, old) for user in users}
    makers = [user for user, line in news.items() if line == "making"]
    assert len(makers) == 1, news
    others = [user for user in users if user is not makers[0]]
    for user in others:
        line = news[user]
        if "which another process has locked" in line:
            # It looked between the lock was taken and it was written down by whom.
            line = user.next_line()
        assert re.fullmatch(
            "told waiting for the image of Ganeti 3.0.2, 1 node, diskless, on which"
            rf" process {makers[0].process.pid} \(python\S* -m tests.images.user_process\)"
            r" has been at work for \d+ s",
            line,
        )
    return makers[0], others


def test_one_of_six_builds_and_all_get_it(start_user: StartUser, store: ImageStore) -> None:
    users = [start_user() for _ in range(6)]
    maker, _ = find_maker(users)
    maker.go_on()
    got = {user.last_line() for user in users}
    assert len(got) == 1
    content = Path(got.pop().removeprefix("got "))
    assert not damage(content)
    assert [info.content for info in store.images()] == [content]
    assert remains(store) == []


def test_when_a_builder_is_killed_another_builds(start_user: StartUser, store: ImageStore) -> None:
    maker, others = find_maker([start_user() for _ in range(4)])
    while others:
        maker.process.send_signal(signal.SIGKILL)
        maker, others = find_maker(others, old=maker)
    maker.go_on()
    assert maker.last_line().startswith("got ")
    assert remains(store) == []


def test_when_a_builder_hangs_the_others_give_up_and_name_it(
    start_user: StartUser, store: ImageStore
) -> None:
    maker, _ = find_maker([start_user()])
    maker.process.send_signal(signal.SIGSTOP)
    error = start_user(patience=0.5).last_line()
    assert re.fullmatch(
        r"error ImageError: waited 0 s for the image of Ganeti 3.0.2, 1 node, diskless, which another process is"
        rf" building +{re.escape(str(store.folder))}/image-locks/{KEY}.lock is held by process {maker.process.pid}"
        r" \(.*\), for \d+ s What to do: look what that process does, .*--vcluster-image-cache=off\)",
        error,
    )
    maker.process.send_signal(signal.SIGCONT)
    maker.go_on()
    assert maker.last_line().startswith("got ")


def test_patience_begins_anew_with_each_builder(start_user: StartUser) -> None:
    maker, _ = find_maker([start_user()])
    second, waiting = start_user(), start_user(patience=3.0)
    for user in (second, waiting):
        assert next_news(user, None).startswith("told ")
    # It does not look while the builder is replaced, and not before its patience with the first would be over.
    waiting.process.send_signal(signal.SIGSTOP)
    maker.process.send_signal(signal.SIGKILL)
    assert next_news(second, maker) == "making"
    with pytest.raises(subprocess.TimeoutExpired):
        second.process.wait(3.3)
    waiting.process.send_signal(signal.SIGCONT)
    assert f"on which process {second.process.pid} (" in next_news(waiting, maker)
    second.go_on()
    assert waiting.last_line().startswith("got ")


def test_threads_of_one_process_share_an_image_too(store: ImageStore, make: Maker) -> None:
    got: list[Path] = []
    barrier = threading.Barrier(6)

    def obtain() -> None:
        barrier.wait()
        got.append(store.obtain(KEY, make))

    threads = [threading.Thread(target=obtain) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 6
    assert len(set(got)) == make.made == 1


def test_one_who_is_stuck_holds_up_nobody_who_wants_another_image(
    start_user: StartUser, store: ImageStore, make: Maker
) -> None:
    find_maker([start_user()])
    assert not damage(store.obtain(OTHER_KEY, make))
    with pytest.raises(ImageError):
        ImageStore(store.folder, 1, patience=0.1).obtain(KEY, make)
