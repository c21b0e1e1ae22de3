"""The agent: a loopback server of pages for one browser of one person, with the keyboard of the terminal that started it.

Three threads: the main one reads the keyboard, so that a PIN is asked for in the terminal and nowhere else, and Ctrl-C ends
everything; one serves; one, the worker, owns the client (`federation.pages.stage`).
"""

import asyncio
import errno
import json
import os
import secrets
import signal
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from threading import Event, Thread, main_thread
from types import FrameType
from typing import Any, Final, NoReturn, Protocol, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from federation.pages import render
from federation.pages.entrance import LOCK_AFTER, Entrance, remove_open_file, write_open_file
from federation.pages.errors import NoSuchPage, PageFault, PageRefused
from federation.pages.forms import posted
from federation.pages.guard import CHECKS, COOKIE, ENTER, EVENTS, STATIC, Check, Guard, Place
from federation.pages.stage import Moved, Progress, Stage
from federation.words import EXPECTED, happened

S = TypeVar("S")

Say = Callable[[str], None]

_LABEL_BYTES: Final = 8
_LOOK_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 3
_MOST_HEAD_BYTES: Final = 16 * 1024
_MOST_CONNECTIONS: Final = 100
_PORTS_TRIED: Final = 20
_NO_IPV6: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Side(Protocol[S]):
    """What the agent shows: the doctor's desk or the patient's app."""

    name: str
    """ "desk" or "app": the host's label, the style sheet, the page's class."""
    title: str
    """Such as "medunion, the doctor's desk"."""
    stage: Stage[S]

    def routes(self) -> Sequence[Route]:
        """Return the pages; each POST handler reads its form through `forms.posted`."""
        ...

    def home(self, state: S) -> str:
        """Return the path of the state's page: "/" leads there."""
        ...

    def lock(self, state: S) -> S:
        """Log out of the token, in the worker, and return what is shown after the page is unlocked, or before."""
        ...

    def unlock(self, state: S) -> S:
        """Log in again, in the main thread: a PIN is asked for in the terminal. Raises what a person is told."""
        ...


class Agent:
    """One run: its name and port, its way in, its pages."""

    def __init__(
        self,
        side: Side[Any],
        directory: Path,
        *,
        lock_after: timedelta = LOCK_AFTER,
        say: Say = print,
        on_end: Callable[[], None] = lambda: None,
        checks: Iterable[Check] = CHECKS,
    ) -> None:
        """Take a port of loopback. `say` tells whoever is at the terminal; `checks` are those of the guard.

        `on_end` is called, in another thread, when the server or the worker ends by itself.
        """
        self.side, self.say, self._on_end = side, say, on_end
        self.entrance = Entrance(lock_after=lock_after)
        self._directory = directory
        self._sockets = loopback_sockets()
        host = f"{side.name}-{secrets.token_hex(_LABEL_BYTES)}.localhost"
        self.place = Place(host, self._sockets[0].getsockname()[1], os.geteuid())
        self.app: ASGIApp = Guard(self._pages(), self.place, self.entrance, self.refuse, checks)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
            )
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve, and have the worker work, while the block runs."""
        threads = [
            Thread(target=self._ending_with(work), name=name, daemon=True)
            for name, work in (("pages", self._serve), ("client", self.side.stage.run))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.side.stage.stop()
            self._server.should_exit = True
            remove_open_file(self._directory)
            serving, working = threads
            working.join(_GRACE_SECONDS)
            if working.is_alive():
                self.say("Waiting for what is under way; Ctrl-C again gives it up.")
            for thread in (working, serving):
                thread.join()

    def _serve(self) -> None:
        with ExitStack() as closing:
            for each in self._sockets:
                closing.enter_context(each)
            self._server.run(sockets=self._sockets)

    def _ending_with(self, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            finally:
                if not self.side.stage.is_stopped:
                    self._on_end()

        return run

    def new_entrance(self) -> Path:
        """Write the file that leads a browser in, with a new ticket; return its path."""
        return write_open_file(self._directory, self.place.origin, self.entrance.new_ticket())

    def lock(self) -> None:
        """Shut the pages at once, and log out of the token as soon as the worker is free."""
        self.entrance.lock()
        self.side.stage.lock(self.side.lock)
        self.say("The page is locked. Press Enter to unlock it.")

    def unlock(self) -> None:
        """Log in again. Raises what the side's `unlock` raises."""
        self.side.stage.unlock(self.side.unlock)

    def refuse(self, error: PageRefused) -> HTMLResponse:
        """Make the answer to a request that is refused."""
        return render.refusal(self.side.name, self.side.title, error)

    def _pages(self) -> Starlette:
        routes = [
            Route("/", self._home),
            Route(ENTER, self._enter),
            Route(EVENTS, self._events),
            Route("/lock", self._lock_now, methods=["POST"]),
            Route("/awake", self._awake, methods=["POST"]),
            *_static_routes(),
            *self.side.routes(),
        ]
        handlers = dict.fromkeys((PageRefused, HTTPException, Exception), self._refused)
        app = Starlette(routes=routes, lifespan=self._watching, exception_handlers=handlers)
        app.router.redirect_slashes = False
        app.state.side, app.state.entrance = self.side, self.entrance
        return app

    @asynccontextmanager
    async def _watching(self, _app: Starlette) -> AsyncIterator[None]:
        async def lock_when_due() -> NoReturn:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                if self.entrance.is_due:
                    self.lock()

        watch = asyncio.create_task(lock_when_due())
        yield
        watch.cancel()

    async def _refused(self, _request: Request, error: Exception) -> Response:
        if isinstance(error, PageRefused):
            return self.refuse(error)
        return self.refuse(NoSuchPage() if isinstance(error, HTTPException) else PageFault())

    async def _home(self, request: Request) -> Response:
        return RedirectResponse(self.side.home(render.snapshot_of(request).state), 302)

    async def _enter(self, request: Request) -> Response:
        cookie = self.entrance.enter(request.query_params.get("t", ""))
        remove_open_file(self._directory)
        # Not a redirect: the browser would take the way from the file for another site's, and send no strict cookie.
        answer = render.entered(self.side.name, self.side.title)
        answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", path="/")
        return answer

    async def _events(self, request: Request) -> Response:
        seen = request.query_params.get("seen", "")
        if not (seen.isascii() and seen.isdigit()):
            raise NoSuchPage
        return StreamingResponse(_stream(self.side.stage, int(seen)), media_type="text/event-stream")

    async def _lock_now(self, request: Request) -> Response:
        await posted(request)
        self.lock()
        return render.home()

    async def _awake(self, request: Request) -> Response:
        await posted(request)
        return Response(status_code=204)


def loopback_sockets() -> list[socket.socket]:
    """Listen on one free port of every loopback address that this computer has.

    A browser that is led to a name under .localhost tries ::1 first: whoever else listened there, on our port, would be
    given the ticket and the cookie. Raises OSError.
    """
    for _ in range(_PORTS_TRIED):
        first = socket.create_server(("127.0.0.1", 0))
        try:
            second = socket.create_server(("::1", first.getsockname()[1]), family=socket.AF_INET6)
        except OSError as error:
            if error.errno in _NO_IPV6:
                return [first]
            first.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return [first, second]
    raise OSError(errno.EADDRINUSE, "no port of loopback is free on both of its addresses")


async def _stream(stage: Stage[Any], seen: int) -> AsyncIterator[str]:
    """Write events as HTML's server-sent events."""
    yield ": listening\n\n"
    async for event in stage.events(seen):
        if isinstance(event, Moved):
            yield f"event: state\ndata: {event.number}\n\n"
        else:
            yield f"event: progress\ndata: {_json(event)}\n\n"


def _json(progress: Progress | None) -> str:
    return json.dumps(None if progress is None else asdict(progress))


def _static_routes() -> Iterator[Route]:
    """Yield a route for each file of `static`, read now: no path that a browser names reaches the disk."""
    for file in (files("federation.pages") / "static").iterdir():
        suffix = Path(file.name).suffix
        if suffix in _TYPES:
            yield Route(STATIC + file.name, _fixed(file.read_bytes(), _TYPES[suffix]))


def _fixed(content: bytes, media_type: str) -> Callable[[Request], Response]:
    return lambda _request: Response(content, media_type=media_type)


def serve(
    side: Side[Any],
    directory: Path,
    *,
    lock_after: timedelta = LOCK_AFTER,
    browser: bool = True,
    say: Say = print,
) -> None:
    """Serve a side's pages until Ctrl-C, SIGTERM or the terminal's end.

    `directory` is the person's own: the file that leads a browser in is written there. Without `browser` none is started.
    """
    agent = Agent(side, directory, lock_after=lock_after, say=say, on_end=_end_main_thread)
    with suppress(KeyboardInterrupt), _ended_by_signals(), agent.running():
        _show(agent, browser=browser)
        for _ in _enters():
            if agent.entrance.is_due:
                agent.lock()
            if not agent.entrance.is_locked or _unlocked(agent):
                _show(agent, browser=browser)


def _show(agent: Agent, *, browser: bool) -> None:
    file = agent.new_entrance()
    agent.say(f"{agent.side.title}: open {file} in your browser within a minute.")
    agent.say("Enter opens the page again; Ctrl-C ends the program.")
    if browser and (sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()):
        webbrowser.open(file.absolute().as_uri())


def _unlocked(agent: Agent) -> bool:
    """Unlock once; tell what went wrong, and leave another try to the person."""
    try:
        agent.unlock()
    except EXPECTED as error:
        agent.say(f"{happened(error)} The page stays locked; press Enter to try again.")
        return False
    return True


def _enters() -> Iterator[None]:
    """Yield at each Enter; where there is no keyboard (any more), never again."""
    while sys.stdin is not None and sys.stdin.readline():
        yield
    Event().wait()


def _end_main_thread() -> None:
    """Interrupt the main thread, which waits for the keyboard."""
    signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
