"""Prints the lowest version that pyproject.toml allows of each package that users install, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

TOOLS = ("bench", "dev", "test")  # extras of those who work on hpsearch; of what they need, tools may be the newest


def constraints(project: dict[str, Any]) -> list[str]:
    """``name==lowest`` of each requirement, those of the extras that are no tools included."""
    extras = project["optional-dependencies"].items()
    lines = [*project["dependencies"], *(line for extra, more in extras if extra not in TOOLS for line in more)]
    lowest = dict(re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", line).groups() for line in lines)  # type: ignore[union-attr]
    return [f"{name}=={version}" for name, version in sorted(lowest.items())]


if __name__ == "__main__":
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    print(*constraints(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]), sep="\n")
