"""The pages as tests read them: their texts, and the blocks of code in them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import attrs

TOP = Path(__file__).parents[2]
README = TOP / "README.rst"
DIFFERENCES = TOP / "docs" / "_ext" / "differences.py"
EXAMPLES = tuple(sorted((TOP / "docs" / "examples").glob("test_*.py")))
PAGES = (README, TOP / "CONTRIBUTING.rst", *sorted((TOP / "docs").rglob("*.rst")))

_BLOCK = re.compile(
    r"^(?P<indent> *)\.\. code-block:: (?P<language>\w+)\n\s*\n(?P<code>(?:(?P=indent)   .*\n|[ ]*\n)+)",
    re.MULTILINE,
)


@attrs.frozen
class Block:
    """A block of code on a page."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(TOP)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of code of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            textwrap.dedent(match["code"]).strip("\n") + "\n",
        )
        for match in _BLOCK.finditer(text)
    ]


ALL_BLOCKS = tuple(block for page in PAGES for block in blocks(page))
