"""The list of all words of the command: what TAB offers, and help, without a look at the modules of a command.

To read those would take a second each time. `ci/words` makes the list; tests hold it to what click says of the commands.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

Words = Mapping[str, Any]
"""Of a command or a group: `options`, and `commands` or `arguments`, for TAB; `help`, `usage` and `records` for help."""


@dataclass
class Place:
    """Where somebody is in a line: the command, the values of an option that are to come, how many arguments there are."""

    path: list[str] = field(default_factory=list)
    wanted: list[str | list[str]] = field(default_factory=list)
    arguments: int = 0


def placed(words: Mapping[str, Words], typed: Sequence[str]) -> Place:
    """Return where somebody is who has typed these words."""
    place = Place()
    for word in typed:
        here = words[" ".join(place.path)]
        if place.wanted:
            place.wanted = place.wanted[1:]
        elif word.startswith("-"):
            place.wanted = [] if "=" in word else here["options"].get(word, {}).get("values", [])
        elif word in here.get("commands", {}):
            place.path.append(word)
        else:
            place.arguments += 1
    return place


def all_words() -> Mapping[str, Words]:
    """Return the list."""
    words: Mapping[str, Words] = json.loads((files("federation.cli") / "words.json").read_text(encoding="utf-8"))
    return words


def help_of(typed: Sequence[str]) -> Words | None:
    """Return what help says of the command in a line that asks for it; None if it is not that, or is no line of the command."""
    words = all_words()
    for number, word in enumerate(typed):
        place = placed(words, typed[:number])
        if place.wanted:
            continue
        if word == "--":
            return None
        if word in {"-h", "--help"}:
            page = words[" ".join(place.path)]
            return None if place.arguments and "commands" in page else {**page, "path": place.path}
    return None
