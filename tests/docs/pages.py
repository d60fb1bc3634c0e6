"""The pages of the documentation, and what is in them: blocks of code, each with the comment above it."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    page: str
    line: int
    mark: str
    language: str
    code: str

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Every block of code of a page, in order."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(DOCS))
    return [
        Block(name, text.count("\n", 0, found.start("code")), found["mark"] or "", found["language"], found["code"])
        for found in _BLOCK.finditer(text)
    ]


def all_blocks(language: str) -> list[Block]:
    """Every block of this language on any page."""
    return [block for page in PAGES for block in blocks_of(page) if block.language == language]


def marked(page: str, mark: str) -> str:
    """The code under this comment."""
    return next(block.code for block in blocks_of(DOCS / page) if block.mark == mark)
