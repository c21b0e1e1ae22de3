"""Fetching a small public file by its URL, or an answer to a question: https, or what else the caller allows; nothing else.

A caller may allow files of this machine, or http for what is signed and public anyway.

Whoever gives the URL, and whoever answers, decides as little as may be: the address is checked before it is dialled, an answer
leads nowhere else, is bounded in size, and in time however slowly it comes. What was fetched is only bytes: whether to believe
them is the caller's affair.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from federation.errors import FieldInvalid, Unavailable
from federation.protocol.addresses import is_address
from federation.wire.channel import ANYWHERE, Dialling, written
from federation.wire.connecting import connected

MOST_URL_BYTES = 512
"""As in a trust bundle (protos/federation/v1/directory.proto)."""

PATIENCE = timedelta(seconds=30)
"""For all of it: name, connection, TLS and answer."""

_PORTS = {"https": 443, "http": 80}
_STEP = timedelta(seconds=10)
"""For a connection, and for each wait for bytes of it."""


class NotFetched(Unavailable):
    """What should lie behind a URL was not handed out, or not within the bounds."""

    reason = "NOT_FETCHED"
    in_words = "The file can't be fetched from where it should lie."
    to_do = "See that its server answers, and that the address is right."


class AnsweredOtherwise(NotFetched):
    """A server answered a question, with another status than 200."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(f"the server answers {status}")
        self.status = status
        self.content = content


def require_url(url: str, *, files: bool = False, plain: bool = False) -> SplitResult:
    """Require an https URL, with `files` one of a file of this machine, too, with `plain` http; return its parts.

    Raises FieldInvalid.
    """
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MOST_URL_BYTES:
        raise FieldInvalid(f"a URL is at most {MOST_URL_BYTES} printable ASCII characters, without spaces")
    try:
        place = urlsplit(url)
        port = _port(place)
    except ValueError:
        raise FieldInvalid("the URL can't be read") from None
    if (
        files
        and place.scheme == "file"
        and place.path.startswith("/")
        and not (place.netloc or place.query or place.fragment)
    ):
        return place
    allowed = ["https", *(["http"] if plain else [])]
    if place.scheme not in allowed or "@" in place.netloc or place.fragment:
        forms = [f"{it}://host/path" for it in allowed] + ["file:///path"] * files
        raise FieldInvalid(f"the URL must be {' or '.join(forms)}, and name no user")
    if not is_address(written(place.hostname or "", port)):
        raise FieldInvalid("the URL names no host")
    return place


@dataclass(frozen=True)
class _Question:
    """What is posted, and of which media type."""

    content: bytes
    media_type: str


@dataclass(frozen=True)
class Fetcher:
    """Fetches files of at most so many bytes; servers are known by the CAs of a PEM file, or the system's."""

    most_bytes: int
    dialling: Dialling = ANYWHERE
    ca: Path | None = None
    files: bool = False
    plain: bool = False
    patience: timedelta = PATIENCE

    def fetch(self, url: str) -> bytes:
        """Return what lies there. Raises FieldInvalid for another URL, NetworkForbidden, NotFetched, Unavailable."""
        return self._got(require_url(url, files=self.files, plain=self.plain), None)

    def ask(self, url: str, question: bytes, media_type: str) -> bytes:
        """Return the answer to a question, which is posted there. Raises as `fetch`, and AnsweredOtherwise."""
        return self._got(require_url(url, plain=self.plain), _Question(question, media_type))

    def _got(self, place: SplitResult, question: "_Question | None") -> bytes:
        try:
            return self._read(place) if place.scheme == "file" else self._asked(place, question)
        except ssl.SSLCertVerificationError as error:
            raise NotFetched(f"the server's certificate is not good: {error.verify_message}") from error
        except TimeoutError as error:
            raise NotFetched("the server does not answer in time") from error
        except http.client.HTTPException as error:
            raise NotFetched(f"the answer is no HTTP answer: {type(error).__name__}") from error
        except OSError as error:
            raise NotFetched(f"it can't be read: {error.strerror or type(error).__name__}") from error

    def _read(self, place: SplitResult) -> bytes:
        path = Path(unquote(place.path))
        if not path.is_file():  # a pipe would keep its reader waiting
            raise NotFetched("there is no such file")
        with path.open("rb") as file:
            return self._bounded(file.read(self.most_bytes + 1))

    def _asked(self, place: SplitResult, question: "_Question | None") -> bytes:
        host = place.hostname or ""
        plain = connected(written(host, _port(place)), self.dialling, min(_STEP, self.patience))
        with closing(plain), _ended_after(plain, self.patience) as is_over:
            try:
                if place.scheme == "http":
                    content = self._answer(plain, place, question)
                else:
                    context = ssl.create_default_context(cafile=self.ca)
                    with context.wrap_socket(plain, server_hostname=host) as connection:
                        content = self._answer(connection, place, question)
            except (OSError, ValueError, http.client.HTTPException, NotFetched) as error:
                if is_over.is_set():
                    raise TimeoutError from error
                raise
            if is_over.is_set():  # what was cut off may look whole
                raise TimeoutError
            return content

    def _answer(self, connection: socket.socket, place: SplitResult, question: "_Question | None") -> bytes:
        asked = http.client.HTTPConnection(place.netloc)
        asked.sock = connection  # it connects nowhere by itself
        target = f"{place.path or '/'}{f'?{place.query}' if place.query else ''}"
        headers = {"User-Agent": "medunion", "Connection": "close"}
        if question is None:
            asked.request("GET", target, headers=headers)
        else:
            asked.request("POST", target, question.content, headers | {"Content-Type": question.media_type})
        answer = asked.getresponse()
        if answer.status != http.client.OK:
            if question is not None:
                raise AnsweredOtherwise(answer.status, self._bounded(answer.read(self.most_bytes + 1)))
            leads = " elsewhere, where nobody follows" if http.client.MULTIPLE_CHOICES <= answer.status < 400 else ""
            raise NotFetched(f"the server answers {answer.status}{leads}")
        content = self._bounded(answer.read(self.most_bytes + 1))
        if answer.length:
            raise NotFetched("the answer is cut short")
        return content

    def _bounded(self, content: bytes) -> bytes:
        if len(content) > self.most_bytes:
            raise NotFetched(f"it has more than {self.most_bytes} bytes")
        return content


def _port(place: SplitResult) -> int:
    return place.port or _PORTS.get(place.scheme, 0)


@contextmanager
def _ended_after(connection: socket.socket, patience: timedelta) -> Iterator[threading.Event]:
    """End a connection after so long, whatever it does then; the event tells whether that was it."""
    is_over, twin = threading.Event(), connection.dup()

    def end() -> None:
        is_over.set()
        with suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(patience.total_seconds(), end)
    timer.daemon = True
    timer.start()
    try:
        with closing(twin):
            yield is_over
    finally:
        timer.cancel()
