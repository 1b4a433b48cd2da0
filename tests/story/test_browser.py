"""The page in a real browser: the picture is there, and filters and zoom do what they say."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.story.page.rendering import story_page
from pytest_ganeti_vcluster.story.telling import tell
from tests.scale.test_page import Page
from tests.story import made

#: Names that Chromium goes by.
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")

#: Seconds that it may take on a busy machine.
_TIMEOUT = 120.0

_WIDTH, _HEIGHT = 1400, 1500

Browse = Callable[..., str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a file in a browser without a window, with some options; return what that writes."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(_BROWSERS)} is installed")

    def run(page: Path, *options: str) -> str:
        process = subprocess.Popen(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync",
                f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={_WIDTH},{_HEIGHT}", *options, page.as_uri(),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=_TIMEOUT)
        finally:
            # Helpers of it may be left.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.returncode == 0
        return output

    return run


@pytest.fixture
def page(tmp_path: Path) -> Path:
    story = tell(made.failure(AssertionError()), [made.evidence()])
    path = tmp_path / "failure.html"
    path.write_text(story_page(story), encoding="utf-8")
    return path


#: What is in the picture, by the colours of page.css: more pixels of each than letters or edges could have.
_COLOURS = {
    "a job that went well": ((0x3C, 0x76, 0xC4), 2000),
    "a job that failed": ((0xCF, 0x3A, 0x30), 2000),
    "a command": ((0x1B, 0x8A, 0x7A), 2000),
    "the test": ((0x33, 0x41, 0x5C), 5000),
    "RPCs": ((0x8D, 0x63, 0xC0), 100),
    "a daemon that starts and one that ends": ((0x3D, 0x9A, 0x4A), 100),
    "a lane": ((0xEE, 0xF2, 0xF7), 20_000),
}


def test_the_picture_is_there(page: Path, browse: Browse, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    shot = tmp_path / "shot.png"
    browse(page, f"--screenshot={shot}", "--blink-settings=preferredColorScheme=1")
    with image.open(shot) as opened:
        pixels = opened.convert("RGB")
    assert pixels.size == (_WIDTH, _HEIGHT)
    found: dict[tuple[int, int, int], int] = {
        colour: count for count, colour in pixels.getcolors(_WIDTH * _HEIGHT)
    }
    missing = {
        what: found.get(colour, 0)
        for what, (colour, least) in _COLOURS.items()
        if found.get(colour, 0) < least
    }
    assert missing == {}


#: A reader who takes RPCs away, wants warnings and worse of one node only, and looks closer at the middle.
_READER = """
<script>
const change = (element, value) => {
  element.value = value;
  element.dispatchEvent(new Event("input", {bubbles: true}));
};
document.querySelector("[data-kind=rpc]").click();
change(document.getElementById("level"), "2");
const node = document.getElementById("node");
change(node, [...node.options].find((option) => option.textContent === "node1.vc").value);
const svg = document.getElementById("picture"), box = svg.getBoundingClientRect();
const at = (part) => ({ clientX: box.left + box.width * part, clientY: box.top + 60, bubbles: true });
svg.dispatchEvent(new PointerEvent("pointerdown", at(0.4)));
window.dispatchEvent(new PointerEvent("pointermove", at(0.5)));
window.dispatchEvent(new PointerEvent("pointerup", at(0.7)));
</script>
"""


@pytest.mark.slow
def test_filters_and_a_closer_look(page: Path, browse: Browse) -> None:
    before = Page(page.read_text(encoding="utf-8"))
    every = [one for tag, one in before.elements if tag == "tr" and "data-e" in one]
    page.write_text(
        page.read_text(encoding="utf-8").replace("</body>", f"{_READER}</body>"), encoding="utf-8"
    )
    after = Page(browse(page, "--dump-dom"))
    rows = [one for tag, one in after.elements if tag == "tr" and "data-e" in one]
    assert len(rows) == len(every)
    seen = [one for one in rows if "hidden" not in one]
    assert {(one["data-kind"], one["data-node"]) for one in seen} == {
        ("job", "node1.vc"),
        ("command", "node1.vc"),
        ("log", "node1.vc"),
    }
    # What was over before the stretch looked at, or comes after it, is not in the list.
    assert all(float(one["data-b"] or 0) >= 3.0 and float(one["data-a"] or 0) <= 9.0 for one in seen)
    assert len(seen) == 3
    shapes = {
        str(one["data-e"]): one
        for tag, one in after.elements
        if tag in {"g", "path", "circle"} and "data-e" in one
    }
    assert all("display: none" not in str(shapes[str(one["data-e"])].get("style")) for one in seen)
    hidden = [one for one in shapes.values() if " rpc " in f" {one['class']} "]
    assert hidden
    assert all("display: none" in str(one.get("style")) for one in hidden)
    (whole,) = [one for tag, one in after.elements if one.get("id") == "whole"]
    assert "hidden" not in whole
