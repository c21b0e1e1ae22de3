"""A side of the tests' own: a number that can be counted up, words that are kept, a long piece of work, a wait, a fault."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from jinja2 import ChoiceLoader, FileSystemLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.pages import render
from federation.pages.forms import PHOTO_BYTES, Form, posted
from federation.pages.stage import Progress, Stage
from federation.words import plain

render.TEMPLATES.loader = ChoiceLoader(
    [it for it in (render.TEMPLATES.loader,) if it] + [FileSystemLoader(Path(__file__).parent / "templates")]
)


@dataclass(frozen=True)
class Count:
    """What is shown."""

    number: int = 0
    words: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Awaiting:
    """A count that waits for its visitor."""

    count: Count
    visitor: Event

    def between(self, seconds: float) -> Count | None:
        """Wait a little; the visitor counts one up."""
        return replace(self.count, number=self.count.number + 1) if self.visitor.wait(min(seconds, 0.05)) else None


State = Count | Awaiting


@dataclass
class Counter:
    """The side. `go_on` lets the long work end, `visitor` ends the wait; `locking` and `unlocking` are the token's."""

    name: str = "desk"
    title: str = "medunion, the counter"
    go_on: Event = field(default_factory=Event)
    visitor: Event = field(default_factory=Event)
    locked: int = 0
    worked: int = 0
    kept: str = ""
    unescaped: str = ""
    locking: Callable[[], None] = lambda: None
    unlocking: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        """Begin at nothing."""
        self.stage: Stage[State] = Stage(Count(), self._told)

    def _told(self, state: State, error: Exception) -> State:
        return replace(state if isinstance(state, Count) else state.count, fault=plain(error))

    def home(self, state: State) -> str:
        """Return the only page."""
        return "/count"

    def lock(self, state: State) -> State:
        """Log out."""
        self.locking()
        self.locked += 1
        return state

    def unlock(self, state: State) -> State:
        """Log in."""
        self.unlocking()
        return state

    def routes(self) -> Sequence[Route]:
        """Return the pages."""
        return [
            Route("/count", self.show),
            Route("/count/up", self.up, methods=["POST"]),
            Route("/count/work", self.work, methods=["POST"]),
            Route("/count/cancel", self.cancel, methods=["POST"]),
            Route("/count/wait", self.wait, methods=["POST"]),
            Route("/count/words", self.words, methods=["POST"]),
            Route("/count/keep", self.keep, methods=["POST"]),
            Route("/count/photo", self.photo, methods=["POST"]),
            Route("/count/fail", self.fail, methods=["POST"]),
            Route("/count/broken", self.broken),
        ]

    async def show(self, request: Request) -> Response:
        """Show the count."""
        state = render.snapshot_of(request).state
        count = state if isinstance(state, Count) else state.count
        return render.page(
            request,
            "counter.html",
            count=count,
            waits=isinstance(state, Awaiting),
            kept=self.kept,
            unescaped=Markup(self.unescaped),
        )

    async def _done(self, request: Request, command: Callable[[State], State | None], form: Form) -> Response:
        await self.stage.do(command, seen=form.seen)
        return render.home()

    async def up(self, request: Request) -> Response:
        """Count one up."""
        return await self._done(request, self._up, await posted(request))

    def _up(self, state: State) -> State:
        self.worked += 1
        count = state if isinstance(state, Count) else state.count
        return replace(count, number=count.number + 1)

    async def work(self, request: Request) -> Response:
        """Work until somebody says go on, or cancels."""
        return await self._done(request, self._work, await posted(request))

    def _work(self, state: State) -> State:
        done = 0
        while not self.go_on.wait(0.02):
            done += 1
            self.stage.tell(Progress("Counting", min(done, 99), 100))
        return self._up(state)

    async def cancel(self, request: Request) -> Response:
        """Give the long work up."""
        form = await posted(request)
        await self.stage.do(lambda _state: Count(fault="given up"), seen=form.seen, cancels=True)
        return render.home()

    async def wait(self, request: Request) -> Response:
        """Wait for the visitor."""
        return await self._done(
            request,
            lambda state: Awaiting(state if isinstance(state, Count) else state.count, self.visitor),
            await posted(request),
        )

    async def words(self, request: Request) -> Response:
        """Take words."""
        form = await posted(request, "words")
        return await self._done(request, lambda _state: Count(words=form.text("words")), form)

    async def keep(self, request: Request) -> Response:
        """Keep what is being typed."""
        self.kept = (await posted(request, "words")).text("words")
        return Response(status_code=204)

    async def photo(self, request: Request) -> Response:
        """Take a file."""
        form = await posted(request, files=("photo",), most_bytes=PHOTO_BYTES)
        photo = form.file("photo")
        words = f"{photo.name}: {len(photo.content)}" if photo else "no photo"
        return await self._done(request, lambda _state: Count(words=words), form)

    async def fail(self, request: Request) -> Response:
        """Raise in the worker what a person is told."""

        def command(_state: State) -> State:
            raise FileNotFoundError(2, "No such file", "somewhere")

        return await self._done(request, command, await posted(request))

    async def broken(self, request: Request) -> Response:
        """Fail as a fault of ours would."""
        raise RuntimeError("the secret 4711")
