"""Names of tokens and keys: PKCS#11 URIs (RFC 7512), narrowed to what selects one token safely, and labels.

A token is named by what travels with it (label, serial number, model, manufacturer), never by its slot, which changes
when a token is plugged elsewhere. The module is an absolute path, so that no search path decides which code gets the
PIN. The PIN itself has no place here: `pin-value` is refused, `pin-source` may name a file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, unquote_to_bytes

from hsm.errors import LabelInvalid, TokenUriInvalid

_SCHEME: Final = "pkcs11:"
_PATH_ATTRIBUTES: Final = ("token", "manufacturer", "serial", "model")
_QUERY_ATTRIBUTES: Final = ("module-path", "pin-source")
# RFC 7512, section 2.3: pk11-res-avail, and "&" in the path, "/" "?" "|" in the query.
_PATH_SAFE: Final = ":[]@!$'()*+,=&"
_QUERY_SAFE: Final = ":[]@!$'()*+,=/?|"
_BAD_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class TokenUri:
    """Which token, through which module, and in which file its PIN lies."""

    module_path: Path
    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    pin_source: Path | None = None

    def __post_init__(self) -> None:
        """Hold the rules for URIs that are built as for those that are parsed; raises `TokenUriInvalid`."""
        if not self.token and not self.serial:
            raise TokenUriInvalid("A PKCS#11 URI has to name the token's label or its serial number.")
        for attribute in _PATH_ATTRIBUTES:
            value = getattr(self, attribute)
            if value is not None and (not value or not value.isprintable()):
                raise TokenUriInvalid(f"The PKCS#11 URI's {attribute} is empty or unprintable.")
        for path in (self.module_path, self.pin_source):
            if path is not None and not (path.is_absolute() and str(path).isprintable()):
                raise TokenUriInvalid("The PKCS#11 URI's module-path and pin-source have to be absolute paths.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI such as `pkcs11:token=A;serial=1?module-path=/lib/p11.so&pin-source=file:/run/pin`.

        Raises `TokenUriInvalid`, without repeating the text (it may hold a PIN), for anything else.
        """
        if not text.startswith(_SCHEME):
            raise TokenUriInvalid("A PKCS#11 URI starts with 'pkcs11:'.")
        path, _, query = text.removeprefix(_SCHEME).partition("?")
        named = _attributes(path, ";", _PATH_ATTRIBUTES)
        asked = _attributes(query, "&", _QUERY_ATTRIBUTES)
        if "module-path" not in asked:
            raise TokenUriInvalid("The PKCS#11 URI has no module-path.")
        pin_source = asked.get("pin-source")
        return cls(
            module_path=Path(asked["module-path"]),
            pin_source=None if pin_source is None else _file(pin_source),
            **named,
        )

    def __str__(self) -> str:
        """Return the URI's one canonical spelling; parsing it gives an equal object."""
        named = ((name, getattr(self, name)) for name in _PATH_ATTRIBUTES)
        path = ";".join(f"{name}={quote(value, safe=_PATH_SAFE)}" for name, value in named if value is not None)
        query = f"module-path={quote(str(self.module_path), safe=_QUERY_SAFE)}"
        if self.pin_source is not None:
            query += f"&pin-source={quote(f'file:{self.pin_source}', safe=_QUERY_SAFE)}"
        return f"{_SCHEME}{path}?{query}"


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, str]:
    """Split `a=b;c=d`, refusing what is unknown, repeated or wrongly encoded."""
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise TokenUriInvalid("A PKCS#11 URI must not hold a PIN: use pin-source or another way to give it.")
        if name not in known or not equals:
            raise TokenUriInvalid(f"The PKCS#11 URI has an attribute other than {', '.join(known)}.")
        if name in found:
            raise TokenUriInvalid(f"The PKCS#11 URI names {name} twice.")
        found[name] = _decoded(value)
    return found


def _decoded(value: str) -> str:
    if _BAD_PERCENT.search(value):
        raise TokenUriInvalid("The PKCS#11 URI has a broken percent encoding.")
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise TokenUriInvalid("The PKCS#11 URI is not UTF-8.") from error


def _file(source: str) -> Path:
    """Read `file:/path` or `file:///path` (RFC 8089); a command (`|...`) or another scheme is refused."""
    if not source.startswith("file:"):
        raise TokenUriInvalid("The PKCS#11 URI's pin-source has to be a file: URI.")
    path = source.removeprefix("file:")
    return Path(path.removeprefix("//") if path.startswith("///") else path)


MAX_TOKEN_LABEL_BYTES = 32  # CK_TOKEN_INFO.label is 32 bytes, padded with blanks
MAX_KEY_LABEL_BYTES = 128


def checked_label(label: str, *, max_bytes: int = MAX_KEY_LABEL_BYTES) -> str:
    """Return the label, or raise `LabelInvalid` if it is empty, too long, unprintable or blank at an end."""
    if not label or not label.isprintable() or label != label.strip():
        raise LabelInvalid("A label has to be printable text without blanks at its ends.")
    if len(label.encode()) > max_bytes:
        raise LabelInvalid(f"A label may have at most {max_bytes} bytes.")
    return label
