"""The desk's pages: which state has which page, and what each form does to the state.

A page that is not the state's leads to the one that is, so that reload, a second tab and the back button show the truth.
Commands of one browser run one after the other: one that was overtaken is refused, and a click that came twice does one thing.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from federation.pages import render
from federation.pages.desk import emergency_states as emergency
from federation.pages.desk import states
from federation.pages.desk.practice import Practice
from federation.pages.desk.standing import Desk
from federation.pages.desk.views import qr
from federation.pages.downloads import attachment, text_of
from federation.pages.errors import BodyTooLarge, MovedOn, NoSuchPage
from federation.pages.forms import MOST_BYTES, Form, posted
from federation.pages.records import Part, Records, content_of
from federation.pages.stage import Stage
from federation.person.drafts import MOST_CODES, MOST_CONCLUSION, Draft
from federation.person.emergencies import MOST_NOTE
from federation.person.emergency_words import FOLLOWS
from federation.person.records import FetchedRecord
from federation.person.visit_words import duty_words
from federation.words import EXPECTED

D = TypeVar("D", bound=Desk)
Command = Callable[[Desk, Form], Desk | None]

WRITTEN_BYTES: Final = 1024 * 1024
"""Of a form with a conclusion: each character may take twelve bytes on its way."""

_DRAFT: Final = ("conclusion", "codes")
_READ: Final = ("digest", "department")
_TYPED: Final = ("patient", "reason", "note", "hospital", "second")

PAGES: Final[Mapping[type[Desk], str]] = {
    states.Idle: "desk/idle.html",
    states.Room: "desk/room.html",
    states.Present: "desk/visit.html",
    states.Fetching: "desk/fetching.html",
    states.ReadOver: "desk/read_over.html",
    states.Done: "desk/signed.html",
    emergency.EmergencyForm: "desk/emergency_form.html",
    emergency.EmergencyAsked: "desk/emergency_asked.html",
    emergency.AwaitingSecond: "desk/emergency_second.html",
    emergency.InEmergency: "desk/emergency_records.html",
    emergency.Seconding: "desk/emergency_sign.html",
    emergency.Seconded: "desk/emergency_signed.html",
}
"""State, or what it is a kind of -> its page."""


class DeskSide:
    """The side that the agent shows. `log_out` and `log_in` are the token's."""

    name = "desk"
    title = "medunion, the doctor's desk"

    def __init__(self, practice: Practice, *, log_out: Callable[[], None], log_in: Callable[[], None]) -> None:
        """Begin at the desk; the first state is made here, before the worker begins."""
        self.stage: Stage[Desk] = Stage(states.begun(practice), self._failed)
        self._practice = practice
        self._log_out, self._log_in = log_out, log_in
        self._turn = asyncio.Lock()
        self._is_locked = False

    def home(self, state: Desk) -> str:
        """Return the state's page."""
        return state.path

    def lock(self, state: Desk) -> Desk:
        """Log out of the token; the visit stays."""
        self._is_locked = True
        self._log_out()
        return state

    def unlock(self, state: Desk) -> Desk:
        """Log in again. Raises HsmError, ConfigError."""
        self._log_in()
        self._is_locked = False
        return state

    def leave(self) -> None:
        """Close what is open, once nobody works any more; behind the lock nothing that would need the PIN."""
        state = self.stage.snapshot.state
        if not self._is_locked:
            state.leave()
        elif (records := records_of(state)) is not None:
            records.close()

    def _failed(self, state: Desk, error: Exception) -> Desk:
        """Say where a fault of ours is; the page says its class alone."""
        if not isinstance(error, EXPECTED):
            place = traceback.extract_tb(error.__traceback__)[-1]
            self._practice.say(f"A fault of this program: {type(error).__name__}, line {place.lineno} of {place.name}.")
        return state.failed(error)

    def routes(self) -> Sequence[Route]:
        """Return the pages and the forms."""
        shown = [Route(kind.path, self._showing(kind, template)) for kind, template in PAGES.items()]
        return [*shown, *self._desk(), *self._visit(), *self._records(), *self._emergencies()]

    def _desk(self) -> Sequence[Route]:
        return [
            self._form("/room/open", lambda state, _: _in(state, states.Idle).open_room()),
            self._form("/room/go-on", lambda state, _: _in(state, states.Room).go_on()),
            self._form("/room/close", lambda state, _: _in(state, states.Room).close()),
            self._form(
                "/deposits/send", lambda state, form: _in(state, states.Idle).send(form.texts("key")), many=("key",)
            ),
            self._form(
                "/drafts/forget",
                lambda state, form: _in(state, states.Idle).forget_draft(_hexadecimal(form.text("key"))),
                "key",
            ),
            Route("/evidence", self._evidence, methods=["POST"]),
        ]

    def _visit(self) -> Sequence[Route]:
        def present(run: Callable[[states.Present, Draft, Form], Desk | None]) -> Command:
            def command(state: Desk, form: Form) -> Desk | None:
                here = _in(state, states.Present)
                return run(here, _draft(here, form), form)

            return command

        def writing(path: str, run: Callable[[states.Present, Draft, Form], Desk | None]) -> Route:
            return self._form(path, present(run), *_DRAFT, many=("department",), most_bytes=WRITTEN_BYTES)

        show, tell = self.stage.show, self.stage.tell
        return [
            Route("/visit/draft", self._keep_draft, methods=["POST"]),
            writing("/visit/save", lambda here, typed, _: here.save(typed)),
            writing("/visit/begun", lambda here, _, __: here.take_begun()),
            writing("/visit/search", lambda here, typed, _: here.search(typed)),
            writing("/visit/fetch", lambda here, typed, form: here.fetch(typed, form.texts("department"), show, tell)),
            writing("/visit/fetch-all", lambda here, typed, _: here.fetch(typed, None, show, tell)),
            writing("/visit/retry", lambda here, typed, _: here.retry(typed, show, tell)),
            writing("/visit/diagnosis", lambda here, typed, _: here.read_over(typed)),
            writing("/visit/give-up", lambda here, typed, _: here.give_up(typed)),
            self._form("/visit/back", lambda state, _: _in(state, states.ReadOver).back(), *_READ),
            self._form("/visit/abandon", lambda state, _: _in(state, states.ReadOver).give_up(), *_READ),
            Route("/visit/sign", self._sign, methods=["POST"]),
            self._form(
                "/visit/deposit",
                lambda state, form: _in(state, states.Done).keep(form.text("department")),
                "department",
            ),
            self._form("/visit/amend", lambda state, _: _in(state, states.Done).amend()),
            self._form("/visit/receipt", lambda state, _: _in(state, states.Done).look_again()),
            self._form("/visit/next", lambda state, _: _in(state, states.Done).next_patient(new_code=False)),
            self._form("/visit/next-code", lambda state, _: _in(state, states.Done).next_patient(new_code=True)),
            self._form("/visit/finish", lambda state, _: _in(state, states.Done).finish()),
        ]

    def _records(self) -> Sequence[Route]:
        return [
            Route("/fetching/stop", self._stop, methods=["POST"]),
            Route("/record/{key}", self._record),
            Route("/part/{key}", self._part),
        ]

    def _emergencies(self) -> Sequence[Route]:
        show, tell = self.stage.show, self.stage.tell

        def reading(run: Callable[[emergency.InEmergency, Form], Desk]) -> Command:
            return lambda state, form: run(_in(state, emergency.InEmergency), form)

        return [
            self._form("/emergency/begin", lambda state, _: emergency.form_of(_at_desk(state))),
            self._form(
                "/emergency/back",
                lambda state, _: _in(state, emergency.Apart).back(),
                *_TYPED,
                most_bytes=WRITTEN_BYTES,
            ),
            self._form(
                "/emergency/ask",
                lambda state, form: _in(state, emergency.EmergencyForm).ask(_typed(form)),
                *_TYPED,
                most_bytes=WRITTEN_BYTES,
            ),
            self._form(
                "/emergency/file",
                lambda state, form: _in(state, emergency.EmergencyForm).open_file(_file(form)),
                files=("file",),
            ),
            self._form(
                "/emergency/again",
                lambda state, form: _in(state, emergency.EmergencyForm).again(form.text("key")),
                "key",
            ),
            self._form("/emergency/change", lambda state, _: _in(state, emergency.EmergencyAsked).change()),
            self._form("/emergency/confirm", lambda state, _: _in(state, emergency.EmergencyAsked).declare()),
            self._form(
                "/emergency/seconded",
                lambda state, form: _in(state, emergency.AwaitingSecond).take(_file(form)),
                files=("file",),
            ),
            self._form("/emergency/countersign", lambda state, _: _in(state, emergency.Seconding).sign()),
            self._form("/emergency/search", reading(lambda here, _: here.search())),
            self._form(
                "/emergency/fetch",
                reading(lambda here, form: here.fetch(form.texts("department"), show, tell)),
                many=("department",),
            ),
            self._form(
                "/emergency/fetch-all", reading(lambda here, _: here.fetch(None, show, tell)), many=("department",)
            ),
            self._form("/emergency/retry", reading(lambda here, _: here.retry(show, tell)), many=("department",)),
            Route("/emergency/statement", self._statement),
        ]

    def _showing(self, kind: type[Desk], template: str) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            state = render.snapshot_of(request).state
            if not isinstance(state, kind):
                return RedirectResponse("/", 302)
            return render.page(request, template, **_WORDS)

        return show

    def _form(
        self,
        path: str,
        command: Command,
        *names: str,
        many: Sequence[str] = (),
        files: Sequence[str] = (),
        most_bytes: int = MOST_BYTES,
    ) -> Route:
        async def post(request: Request) -> Response:
            form = await posted(request, *names, many=many, files=files, most_bytes=most_bytes)
            await self._obeyed(command, form)
            return render.home()

        return Route(path, post, methods=["POST"])

    async def _obeyed(self, command: Command, form: Form) -> None:
        async with self._turn:
            await self.stage.do(lambda state: command(state, form), seen=form.seen)

    async def _keep_draft(self, request: Request) -> Response:
        form = await posted(request, *_DRAFT, many=("department",), most_bytes=WRITTEN_BYTES)

        def keep(state: Desk, form: Form) -> None:
            here = _in(state, states.Present)
            here.keep(_draft(here, form))

        await self._obeyed(keep, form)
        return Response(status_code=204)

    async def _sign(self, request: Request) -> Response:
        """Sign what was read over. The second of two clicks finds it done, or under way, and leads to the same page."""
        form = await posted(request, *_READ)
        digest = form.text("digest")

        def sign(state: Desk, form: Form) -> Desk | None:
            return _in(state, states.ReadOver).sign(digest, form.text("department"))

        try:
            await self._obeyed(sign, form)
        except MovedOn:
            state = self.stage.snapshot.state
            if not (isinstance(state, states.Done) and state.digest == digest):
                raise
        return render.home()

    async def _stop(self, request: Request) -> Response:
        """Stop a fetch: what came stays, and so the state has moved on when this is through."""
        form = await posted(request)
        try:
            await self.stage.do(lambda _: None, seen=form.seen, cancels=True)
        except MovedOn:
            if isinstance(self.stage.snapshot.state, states.Fetching):
                raise
        return render.home()

    async def _evidence(self, request: Request) -> Response:
        form = await posted(request)
        made: Future[bytes] = Future()
        await self._obeyed(lambda state, _: made.set_result(state.practice.client.book.file()), form)
        if not made.done():
            raise MovedOn
        return attachment([made.result()], "medunion-evidence.json")

    async def _record(self, request: Request) -> Response:
        """Show a part as it came: whose it is, its digests, and its text page by page."""
        record, part = _found(request)
        page = request.query_params.get("page", "1")
        if not (page.isascii() and page.isdigit() and 0 < int(page) < 10**6):
            raise NoSuchPage
        sections, more = await run_in_threadpool(text_of, record, part, int(page))
        return render.page(
            request,
            "desk/record.html",
            part=part,
            record=record,
            sections=sections,
            page=int(page),
            more=more,
            **_WORDS,
        )

    async def _part(self, request: Request) -> Response:
        record, part = _found(request)
        return attachment(content_of(record, part), part.file_name)

    async def _statement(self, request: Request) -> Response:
        """Give an emergency's file, for the second clinician or back from it."""
        state = render.snapshot_of(request).state
        if not isinstance(state, emergency.AwaitingSecond | emergency.Seconded):
            raise NoSuchPage
        name = f"emergency-{state.declared.statement.emergency_id.hex()[:16]}.bin"
        return attachment([state.declared.to_bytes()], name)


def _in(state: Desk, kind: type[D]) -> D:
    """Return the state if it is of this kind. Raises MovedOn."""
    if not isinstance(state, kind):
        raise MovedOn
    return state


def _at_desk(state: Desk) -> Desk:
    """Return a state that an emergency may interrupt: no patient is here. Raises MovedOn."""
    if not isinstance(state, states.Idle | states.Room):
        raise MovedOn
    return state


def records_of(state: Desk) -> Records | None:
    """Return the records that a state shows, if it shows any."""
    match state:
        case states.AtVisit():
            return state.visit.records
        case states.Fetching():
            return records_of(state.behind)
        case emergency.InEmergency():
            return state.records
    return None


def _found(request: Request) -> tuple[FetchedRecord, Part]:
    records = records_of(render.snapshot_of(request).state)
    found = records.part(request.path_params["key"]) if records else None
    if found is None:
        raise NoSuchPage
    return found


def _draft(here: states.Present, form: Form) -> Draft:
    conclusion, codes = form.text("conclusion"), form.text("codes")
    if len(conclusion) > MOST_CONCLUSION or len(codes) > MOST_CODES:
        raise BodyTooLarge
    return Draft(here.visit.consultation.patient_id, conclusion, codes)


def _typed(form: Form) -> emergency.Typed:
    return emergency.Typed(**{name: form.text(name).strip() for name in _TYPED})


def _file(form: Form) -> bytes:
    file = form.file("file")
    return b"" if file is None else file.content


def _hexadecimal(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise MovedOn from None


_WORDS: Final[Mapping[str, Any]] = {
    "follows": FOLLOWS,
    "duty_words": duty_words,
    "qr": qr,
    "link": "/record/{}".format,
    "most_note": MOST_NOTE,
    "most_conclusion": MOST_CONCLUSION,
    "most_codes": MOST_CODES,
}
"""What templates say and draw with."""
