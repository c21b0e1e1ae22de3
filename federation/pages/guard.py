"""Who may ask the agent for anything: the checks that every request passes, each with its reason (docs/pages.md).

A loopback port is open to every user of the computer and to every page that any of them has open. What keeps both out is the
cookie; the other checks stand before it, so that a fault of one is not a way in.
"""

import sys
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.pages.entrance import Entrance
from federation.pages.errors import (
    CrossSite,
    HeaderDoubled,
    HostUnknown,
    NotEntered,
    OriginUnknown,
    OtherUser,
    PageRefused,
)

COOKIE: Final = "medunion"
ENTER: Final = "/enter"
STATIC: Final = "/static/"
EVENTS: Final = "/events"

_CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

HEADERS: Final = {
    "content-security-policy": _CONTENT_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
    # With "no-referrer" Chromium sends "Origin: null" with the page's own forms.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""On every answer, a refusal too."""

_OURS: Final = {name.encode(): value.encode() for name, value in HEADERS.items()}

_SINGLE: Final = frozenset({b"host", b"origin", b"cookie", b"sec-fetch-site", b"content-length", b"content-type"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_PEERS: Final = {
    "127.0.0.1": (Path("/proc/net/tcp"), "0100007F"),
    "::1": (Path("/proc/net/tcp6"), "00000000000000000000000001000000"),
}
"""Loopback address -> where the system lists connections (proc(5)), and how it writes the address there."""


@dataclass(frozen=True)
class Place:
    """Where this run's pages are: a name of its own, on a loopback port."""

    host: str
    port: int
    uid: int

    @property
    def authority(self) -> str:
        """Return name and port, as the header Host gives them."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """Return the origin of every page here."""
        return f"http://{self.authority}"


class Asked:
    """A request, as far as the checks look at it."""

    def __init__(self, scope: Scope) -> None:
        """Read the head."""
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.peer: tuple[str, int] = tuple(scope.get("client") or ("", 0))
        self.headers: Sequence[tuple[bytes, bytes]] = scope["headers"]

    def header(self, name: str) -> str:
        """Return the first header of this name, or nothing."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), "")

    @property
    def is_of_a_person(self) -> bool:
        """Return whether a person did this: sent something, or went to a page. A page that listens does not count."""
        return self.method not in _SAFE_METHODS or self.header("sec-fetch-user") == "?1"


Check = Callable[[Asked, Place, Entrance], None]
"""Returns if the request passes; raises PageRefused."""


def headers_are_single(asked: Asked, _place: Place, _entrance: Entrance) -> None:
    """Require each header that decides something at most once. Raises HeaderDoubled."""
    names = [key for key, _ in asked.headers if key in _SINGLE]
    if len(names) != len(set(names)):
        raise HeaderDoubled


def host_is_ours(asked: Asked, place: Place, _entrance: Entrance) -> None:
    """Require this run's own name: another name that leads here is somebody's attempt (DNS rebinding). Raises HostUnknown."""
    if asked.header("host") != place.authority:
        raise HostUnknown


def peer_is_this_user(asked: Asked, place: Place, _entrance: Entrance) -> None:
    """Require that the connection is this user's own, where the system tells whose it is. Raises OtherUser."""
    if sys.platform == "linux" and uid_of_peer(asked.peer, place.port) != place.uid:
        raise OtherUser


def site_is_ours(asked: Asked, _place: Place, _entrance: Entrance) -> None:
    """Require that our own page, or a person, made the browser ask (Fetch Metadata, W3C). Raises CrossSite.

    The file that leads in is another site to a browser, and the ticket is what lets it in.
    """
    if asked.path != ENTER and asked.header("sec-fetch-site") not in _OWN_SITES:
        raise CrossSite


def origin_is_ours(asked: Asked, place: Place, _entrance: Entrance) -> None:
    """Require that what is sent comes from our own page. Raises OriginUnknown."""
    if asked.method not in _SAFE_METHODS and asked.header("origin") != place.origin:
        raise OriginUnknown


def browser_was_let_in(asked: Asked, _place: Place, entrance: Entrance) -> None:
    """Require the cookie, but of the way in, and of style sheets, which a refusal is shown with. Raises Locked, NotEntered."""
    if asked.path == ENTER or asked.path.startswith(STATIC):
        return
    entrance.require(cookie_of(asked))


CHECKS: Final[Sequence[Check]] = (
    headers_are_single,
    host_is_ours,
    peer_is_this_user,
    site_is_ours,
    origin_is_ours,
    browser_was_let_in,
)


class Guard:
    """ASGI middleware: a request passes every check, or nobody behind this sees it."""

    def __init__(
        self, app: ASGIApp, place: Place, entrance: Entrance, refuse: "Refuse", checks: Iterable[Check] = CHECKS
    ) -> None:
        """Stand before an application; `refuse` makes the answer to what does not pass."""
        self._app, self._place, self._entrance, self._refuse = app, place, entrance, refuse
        self._checks = tuple(checks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message)
            await send(message)

        if scope["type"] != "http":
            return
        asked = Asked(scope)
        try:
            for check in self._checks:
                check(asked, self._place, self._entrance)
        except PageRefused as refusal:
            await self._refuse(refusal)(scope, receive, sent)
            return
        if asked.is_of_a_person and asked.path != ENTER:
            self._entrance.awake()
        await self._app(scope, receive, sent)


Refuse = Callable[[PageRefused], ASGIApp]


def _add_headers(message: MutableMapping[str, Any]) -> None:
    others = [(key, value) for key, value in message["headers"] if key.lower() not in _OURS]
    message["headers"] = [*others, *_OURS.items()]


def cookie_of(asked: Asked) -> str:
    """Return our cookie's value. Raises NotEntered if there is none, or what came is no cookie."""
    header = asked.header("cookie")
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        raise NotEntered from None
    if COOKIE not in cookies or header.count(f"{COOKIE}=") != 1:
        raise NotEntered
    return cookies[COOKIE].value


def uid_of_peer(peer: tuple[str, int], port: int) -> int | None:
    """Return the user to whom a connection to this loopback port belongs; None if nothing says so."""
    address, peer_port = peer
    if address not in _PEERS:
        return None
    table, written = _PEERS[address]
    ends = [f"{written}:{peer_port:04X}", f"{written}:{port:04X}"]
    with table.open(encoding="ascii") as lines:
        return next((int(fields[7]) for line in lines if (fields := line.split())[1:3] == ends), None)
