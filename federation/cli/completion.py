"""What TAB offers, from the list of all words. The shells' scripts are click's own."""

from collections.abc import Mapping

from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete, add_completion_class

from federation.cli.words import Words, all_words, placed


def offered(words: Mapping[str, Words], typed: list[str], begun: str) -> list[CompletionItem]:
    """Return what may stand for the word that is `begun`, behind those that are `typed`."""
    place = placed(words, typed)
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


def _values(kind: str | list[str], begun: str) -> list[CompletionItem]:
    """Return what may be a value: one of some words, or what the shell finds itself, a file or a directory."""
    if isinstance(kind, list):
        return [CompletionItem(word) for word in kind if word.startswith(begun)]
    return [CompletionItem(begun, type=kind)] if kind else []


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
