"""The commands that a page of the documentation tells its readers to type."""

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = re.compile(r"`(medunion [^`]+)`")


def commands_of(page: str) -> list[str]:
    """Give each command of a page once, in order: what stands in backticks and begins with the program's name."""
    return list(dict.fromkeys(COMMAND.findall((DOCS / page).read_text())))


def words_of(command: str) -> list[str]:
    """Give a command's words without the program's name."""
    return shlex.split(command)[1:]
