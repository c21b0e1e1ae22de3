"""The settings file: TOML, read into the dataclasses of `federation/settings.py`, and written with what they say as comments.

An unknown key, a value out of its range or a secret that others may read is an error that names the key.
"""

import dataclasses
import json
import textwrap
import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from federation.settings import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

_WIDTH = 118
_OTHER_KIND = "; is this the directory of another kind of node?"


def read_settings(path: Path, kind: type[T]) -> T:
    """Read a settings file into its dataclass. Raises ConfigError."""
    table = _table_of(path)
    try:
        return _section(table, kind, "")
    except ConfigError as error:
        raise ConfigError(f"{error} ({path})") from error


def read_identity(path: Path) -> str:
    """Read whose settings a file holds, and nothing else; "" if it does not say. Raises ConfigError."""
    return str(_table_of(path).get("identity", ""))


def _table_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def require_valid(settings: object) -> None:
    """Hold settings that were put together here against the rules for those that are read. Raises ConfigError."""
    _section(tomllib.loads(to_toml(settings)), type(settings), "")


def to_toml(settings: object) -> str:
    """Write settings as TOML that `read_settings` reads back, each with its meaning; what has its default is a comment."""
    head = _comment(f"{_first_words(settings)} A setting that is left out, or behind a #, has its default.")
    return "\n".join([*head, "", *_lines(settings)]) + "\n"


def _lines(settings: object) -> Iterator[str]:
    values = [(item, getattr(settings, item.name)) for item in fields(cast("DataclassInstance", settings))]
    for item, value in values:
        if not dataclasses.is_dataclass(value):
            yield from _setting(item, value)
    for item, value in values:
        if dataclasses.is_dataclass(value):
            yield from ("", *_comment(_first_words(value)), f"[{item.name}]", *_lines(value))


def _first_words(settings: object) -> str:
    """Give what the docstring says, in one line, without the table's name before it."""
    words = " ".join((type(settings).__doc__ or "").split())
    said = words.partition("]`: ")[2] or words
    return said[:1].upper() + said[1:]


def _setting(item: "dataclasses.Field[Any]", value: object) -> Iterator[str]:
    yield from _comment(" ".join(_meaning(item)))
    if value != item.default:
        yield f"{item.name} = {_toml_value(value)}"
        return
    shown = item.metadata.get("example") if value is None else value
    if shown is not None:
        yield f"#{item.name} = {_toml_value(shown)}"


def _meaning(item: "dataclasses.Field[Any]") -> Iterator[str]:
    yield item.metadata.get("says", "")
    if "least" in item.metadata:
        yield f"{item.metadata['least']:g} to {item.metadata['most']:g}."
    if item.default is None and item.metadata.get("example") is not None:
        yield "None unless set; for example:"
    elif item.default not in {dataclasses.MISSING, None, ()}:
        yield f"Default: {_toml_value(item.default)}."


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _toml_value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # A TOML basic string takes every escape that JSON makes; a JSON number is a TOML number.
    return json.dumps(value if isinstance(value, bool | int | float | str) else str(value))


def _section(table: dict[str, object], kind: type[T], prefix: str) -> T:
    known = {item.name: item for item in fields(cast("type[DataclassInstance]", kind))}
    hints = typing.get_type_hints(kind)
    for name in table:
        if name not in known:
            raise ConfigError(f"{prefix}{name}: there is no such setting{_OTHER_KIND}")
    values = {name: _value(value, hints[name], known[name], prefix + name) for name, value in table.items()}
    for name, item in known.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{prefix}{name}: this setting is missing{_OTHER_KIND}")
    return kind(**values)


def _value(value: object, hint: object, item: "dataclasses.Field[Any]", name: str) -> object:
    if isinstance(hint, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _section(_of((dict,), value, name), hint, name + ".")
    if hint is Path:
        return _passed(_path(Path(_of((str,), value, name)), name), item, name)
    if typing.get_origin(hint) is tuple:
        return _passed(tuple(_of((str,), element, name) for element in _of((list,), value, name)), item, name)
    if "least" in item.metadata:
        number = _of((int, float) if hint is float else (int,), value, name)
        return _in_range(number, item, name)
    return _passed(_of((cast("type", hint),), value, name), item, name)


def _passed(value: T, item: "dataclasses.Field[Any]", name: str) -> T:
    check = item.metadata.get("check")
    if check is not None:
        try:
            check(value)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
    return value


def _of(kinds: tuple[type, ...], value: object, name: str) -> Any:  # noqa: ANN401 - the kinds say which
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ConfigError(f"{name}: a value of another type is needed")
    return value


def _in_range(value: float, item: "dataclasses.Field[Any]", name: str) -> float:
    least, most = item.metadata["least"], item.metadata["most"]
    if not least <= value <= most:
        raise ConfigError(f"{name}: {value} is not between {least} and {most}")
    return value


def _path(path: Path, name: str) -> Path:
    if not path.is_absolute():
        raise ConfigError(f"{name}: an absolute path is needed")
    return path
