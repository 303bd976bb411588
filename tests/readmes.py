"""The READMEs of the repository, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import TOP

# The one at the top level, and those in the folders of the fixed top level.
FOLDERS = ("hpsearch", "studies", "tests")
PATHS = [TOP / "README.md", *(path for folder in FOLDERS for path in sorted(TOP.glob(f"{folder}/**/*.md")))]
TEXTS = {path.relative_to(TOP).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[name], re.M | re.S)


def all_blocks(language: str) -> dict[str, str]:
    """The blocks of all READMEs in a language, by file and number."""
    return {f"{name}-{i}": block for name in TEXTS for i, block in enumerate(blocks(name, language))}


def prose(name: str) -> str:
    """A README without its fenced blocks."""
    return _without_blocks(TEXTS[name])


def table(name: str, header: str) -> list[list[str]]:
    """The rows of the table of a README that has this header, cell by cell."""
    return _rows(TEXTS[name].split(f"| {header} |", 1)[1].split("\n\n", 1)[0])[1:]


def tables_under(name: str, heading: str, header: str) -> list[list[str]]:
    """The rows of all tables with this header between a heading of a README and the next heading."""
    section = re.split(r"^#+ ", TEXTS[name].split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    return [row for part in section.split(f"| {header} |")[1:] for row in _rows(part.split("\n\n", 1)[0])[1:]]


def anchors(path: Path) -> set[str]:
    """What links can point to in a Markdown file: its headings, as forges name them."""
    headings = re.findall(r"^#+ (.*)$", _without_blocks(path.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
