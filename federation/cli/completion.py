"""What TAB offers, from a list of all words: to read a command's options from its module would take the person's patience.

`ci/words` makes the list; a test holds it to what click would say. The shells' scripts are click's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete, add_completion_class

Words = Mapping[str, Any]
"""Of a command by its words: `commands` with what is said of each, or `options` and `arguments` with what their values are."""


@dataclass
class _Place:
    """Where somebody is in a line: the command, the values of an option that are to come, how many arguments there are."""

    path: list[str] = field(default_factory=list)
    wanted: list[str | list[str]] = field(default_factory=list)
    arguments: int = 0


def offered(words: Mapping[str, Words], typed: list[str], begun: str) -> list[CompletionItem]:
    """Return what may stand for the word that is `begun`, behind those that are `typed`."""
    place = _placed(words, typed)
    here = words[" ".join(place.path)]
    if place.wanted:
        return _values(place.wanted[0], begun)
    if begun.startswith("-"):
        given = {word for word in typed if not here["options"].get(word, {}).get("repeats")}
        options = {name: it["says"] for name, it in here["options"].items() if name not in given}
        return [CompletionItem(name, help=says) for name, says in options.items() if name.startswith(begun)]
    if "commands" in here:
        return [CompletionItem(name, help=says) for name, says in here["commands"].items() if name.startswith(begun)]
    taken = here["arguments"]
    if place.arguments < len(taken) or (taken and taken[-1]["repeats"]):
        return _values(taken[min(place.arguments, len(taken) - 1)]["values"], begun)
    return []


def _placed(words: Mapping[str, Words], typed: list[str]) -> _Place:
    place = _Place()
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


def _values(kind: str | list[str], begun: str) -> list[CompletionItem]:
    """Return what may be a value: one of some words, or what the shell finds itself, a file or a directory."""
    if isinstance(kind, list):
        return [CompletionItem(word) for word in kind if word.startswith(begun)]
    return [CompletionItem(begun, type=kind)] if kind else []


def all_words() -> Mapping[str, Words]:
    """Return the list."""
    words: Mapping[str, Words] = json.loads((files("federation.cli") / "words.json").read_text(encoding="utf-8"))
    return words


class _Offering:
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what TAB offers."""
        return offered(all_words(), args, incomplete)


class _Bash(_Offering, BashComplete):
    pass


class _Zsh(_Offering, ZshComplete):
    pass


class _Fish(_Offering, FishComplete):
    pass


def use_words() -> None:
    """Let TAB be answered from the list."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
