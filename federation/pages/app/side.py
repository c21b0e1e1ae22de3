"""The app's pages and forms: each page shows the last snapshot, each form puts one command."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from federation.clock import system_clock
from federation.pages import render
from federation.pages.app import granting, reading, views, visiting
from federation.pages.app.client import AppClient, Command
from federation.pages.app.states import (
    CONSENTS,
    DIAGNOSES,
    READS,
    RECORDS,
    VISIT,
    App,
    Asking,
    AtDoctor,
    AtHome,
    Consenting,
    NewRecord,
    Visit,
)
from federation.pages.app.views import printable_lines
from federation.pages.app.words import told
from federation.pages.downloads import attachment, text_of
from federation.pages.errors import MovedOn, NoSuchPage
from federation.pages.forms import MOST_BYTES, PHOTO_BYTES, Form, posted
from federation.pages.records import Part, content_of
from federation.person import consent_files
from federation.person.accesses import BY_ONESELF, missing_words
from federation.person.consent_words import POWERS
from federation.person.documents import WHO_READS
from federation.person.fetching import NOTE_TYPE, media_type_of
from federation.person.hiding import hidden_words, standing_lines
from federation.person.patient import Diagnosis
from federation.person.records import FetchedRecord
from federation.protocol.access import LONGEST_GRANT, LONGEST_MANDATE, Hidden
from federation.protocol.documents import MOST_DOCUMENT_BYTES, NewDocument
from federation.protocol.frames import MOST_BIOSIGNAL_BYTES
from federation.protocol.statements import POWER_NAMES, SENSITIVITIES
from federation.protocol.time import milliseconds
from federation.v1.statement_pb2 import POWER_ADD, POWER_GRANT, POWER_LOG, POWER_READ, POWER_RESTRICT, POWER_REVOKE
from keystore.identities import ANY, HospitalId, PatientId

Handler = Callable[[Request], Awaitable[Response]]
CommandOf = Callable[[Form], Command]

FORM_BYTES: Final = 64 * 1024
"""Around a file: the form's other fields and what divides them."""

_SVG: Final = "image/svg+xml"
_VISITS: Final[dict[type[Visit], str]] = {
    AtHome: "app/home.html",
    AtDoctor: "app/doctor.html",
    Consenting: "app/consent.html",
    Asking: "app/asking.html",
}


class AppSide:
    """The patient's app, for `federation.pages.serve`."""

    name = "app"
    title = "medunion"

    def __init__(self, client: AppClient) -> None:
        """Show what this client shows."""
        self._client = client
        self.stage = client.stage
        self._written: dict[str, str] = {}

    def home(self, state: App) -> str:
        """Return the page that shows what changed last, at what was tapped last."""
        tapped = state.visit.last_tap if isinstance(state.visit, Consenting) and state.place == VISIT else ""
        return f"{state.place}#tap-{tapped}" if tapped else state.place

    def lock(self, state: App) -> App:
        """Close the client: what is on the disk stays, and nothing in memory."""
        self._written = {}
        self._client.close()
        return App(state.patient_id)

    def unlock(self, state: App) -> App:
        """Take a reading, and open the client with it. Raises BiometricMismatch for a stranger's, and as `open_patient`."""
        del state  # it is empty
        return self._client.open()

    def routes(self) -> Sequence[Route]:
        """Return the pages and the forms."""
        return [*self._visit(), *self._diagnoses(), *self._consents(), *self._records(), *self._reads()]

    # Each part of the navigation: its pages, then its forms.

    def _visit(self) -> Sequence[Route]:
        client = self._client
        photo, file = ("photo",), ("file",)
        return [
            Route(VISIT, self._visit_page),
            Route(f"{VISIT}/ecg", self._ecg),
            self._form(f"{VISIT}/code", self._given, "code", files=photo, most_bytes=PHOTO_BYTES + FORM_BYTES),
            self._form(f"{VISIT}/choose", lambda form: visiting.choose(client, form.text("offer")), "offer"),
            self._form(f"{VISIT}/tap", lambda form: visiting.tap(client, form.text("tap")), "tap"),
            self._form(
                f"{VISIT}/limit",
                lambda form: visiting.limit(client, form.text("hospitals"), form.text("days")),
                *("hospitals", "days"),
            ),
            self._form(f"{VISIT}/biosignal", self._attached, files=file, most_bytes=MOST_BIOSIGNAL_BYTES + FORM_BYTES),
            self._form(f"{VISIT}/agree", lambda _: visiting.agree(client)),
            self._form(f"{VISIT}/give-up", lambda _: visiting.give_up, cancels=True),
            self._form(f"{VISIT}/leave", lambda _: visiting.leave),
        ]

    def _diagnoses(self) -> Sequence[Route]:
        return [
            Route(DIAGNOSES, self._diagnoses_page),
            Route(f"{DIAGNOSES}/{{key}}", self._diagnosis_page),
            Route(f"{DIAGNOSES}/{{key}}/report", self._report),
            Route("/evidence", self._evidence),
        ]

    def _consents(self) -> Sequence[Route]:
        client = self._client
        mandates = f"{CONSENTS}/mandates/{{number:int}}"
        return [
            Route(CONSENTS, self._consents_page),
            Route(f"{CONSENTS}/all", self._all_page),
            Route(f"{CONSENTS}/fhir", self._consents_file),
            Route(granting.DRAFT, self._draft_page),
            Route(mandates, self._mandate_page),
            Route(f"{mandates}/file", self._mandate_file),
            Route(f"{CONSENTS}/{{number:int}}", self._consent_page),
            self._form(f"{CONSENTS}/look", lambda _: granting.look(client)),
            self._form(
                f"{CONSENTS}/take-back", lambda form: granting.take_back(client, _number(form.text("number"))), "number"
            ),
            self._form(
                f"{CONSENTS}/take-all-back", lambda form: granting.take_all_back(client, self._of_whom(form)), "whose"
            ),
            self._form(
                f"{granting.DRAFT}/read-over",
                lambda form: granting.draft(client, form.text("deputy"), form.texts("power"), form.text("days")),
                *("deputy", "days"),
                many=("power",),
            ),
            self._form(f"{granting.DRAFT}/drop", lambda _: granting.drop_draft),
            self._form(f"{granting.DRAFT}/sign", lambda _: granting.appoint(client)),
            self._form(f"{CONSENTS}/end", lambda form: granting.end(client, _number(form.text("number"))), "number"),
            self._form(
                f"{CONSENTS}/accept",
                lambda form: granting.accept(client, _file(form)),
                files=("file",),
                most_bytes=2 * MOST_BYTES,
            ),
        ]

    def _records(self) -> Sequence[Route]:
        client = self._client
        return [
            Route(RECORDS, self._records_page),
            Route(reading.HIDDEN, self._hidden_page),
            Route(reading.ADD, self._add_page),
            Route(reading.READ_OVER, self._read_over_page),
            Route(f"{RECORDS}/part/{{key}}", self._part_page),
            Route(f"{RECORDS}/file/{{key}}", self._part_file),
            self._form(f"{RECORDS}/find", lambda form: reading.find(client, _whose(form)), "whose"),
            self._form(
                f"{RECORDS}/fetch",
                lambda form: reading.fetch(client, set(form.texts("department"))),
                many=("department",),
            ),
            self._form(f"{RECORDS}/retry", lambda _: reading.retry(client)),
            self._form(f"{RECORDS}/forget", lambda _: reading.forget(client)),
            Route(f"{RECORDS}/stop", self._stop, methods=["POST"]),
            self._form(f"{reading.HIDDEN}/look", lambda form: reading.look_hidden(client, _whose(form)), "whose"),
            self._form(
                f"{reading.HIDDEN}/hide",
                self._hide,
                *("whose", "what", "hospital", "department", "record", "emergency"),
            ),
            self._form(
                f"{reading.HIDDEN}/show-again",
                lambda form: reading.show_again(client, _whose(form), form.text("number")),
                *("whose", "number"),
            ),
            self._form(
                f"{reading.ADD}/read-over",
                self._new_record,
                *reading.FIELDS,
                files=("file",),
                most_bytes=MOST_DOCUMENT_BYTES + FORM_BYTES,
            ),
            Route(f"{reading.ADD}/keep", self._keep_written, methods=["POST"]),
            self._form(f"{reading.ADD}/drop", lambda _: reading.drop),
            self._form(f"{reading.ADD}/send", lambda _: reading.add(client)),
        ]

    def _reads(self) -> Sequence[Route]:
        client = self._client
        return [
            Route(READS, self._reads_page),
            Route(f"{READS}/fhir", self._reads_file),
            self._form(f"{READS}/ask", lambda form: reading.ask_who_read(client, _whose(form)), "whose"),
            self._form(f"{READS}/older", lambda form: reading.ask_older(client, form.text("hospital")), "hospital"),
            self._form(f"{READS}/stop", lambda _: reading.stop_asking, cancels=True),
        ]

    # Pages.

    async def _visit_page(self, request: Request) -> Response:
        app, now = _app(request), system_clock()
        context: dict[str, Any] = {"now": now}
        if isinstance(app.visit, Consenting):
            of_whom = app.visit.deputy.says.patient_id if app.visit.deputy else app.patient_id
            context |= {
                "lives": visiting.LIVES,
                "classes": sorted(self._client.anchors.department_classes),
                "deputies": views.stands_for(app, POWER_GRANT, now),
                "earlier": views.standing_grants(app, of_whom, now),
                "most_days": LONGEST_GRANT.days,
            }
        return _page(request, _VISITS[type(app.visit)], current=VISIT, **context)

    async def _ecg(self, request: Request) -> Response:
        visit = _app(request).visit
        if not isinstance(visit, Consenting) or visit.attached is None or not visit.attached.drawing:
            raise NoSuchPage
        return Response(visit.attached.drawing, media_type=_SVG)

    async def _diagnoses_page(self, request: Request) -> Response:
        shown = [views.diagnosis_of(one) for one in _app(request).kept.diagnoses]
        return _page(request, "app/diagnoses.html", current=DIAGNOSES, diagnoses=shown)

    async def _diagnosis_page(self, request: Request) -> Response:
        shown = views.diagnosis_of(_diagnosis(request))
        return _page(request, "app/diagnosis.html", current=DIAGNOSES, diagnosis=shown)

    async def _report(self, request: Request) -> Response:
        found = _diagnosis(request)
        return attachment([found.report], f"diagnosis-{found.session_id.hex()[:8]}.json")

    async def _evidence(self, request: Request) -> Response:
        """Have the worker open the evidence: it lies sealed under the token's key."""
        made: Future[bytes] = Future()

        def pack(_app: App) -> None:
            made.set_result(self._client.client.book.file())

        await self.stage.do(pack, seen=render.snapshot_of(request).number)
        if not made.done():
            raise MovedOn
        return attachment([made.result()], "evidence.json")

    async def _consents_page(self, request: Request) -> Response:
        app, now = _app(request), system_clock()
        return _page(
            request,
            "app/consents.html",
            current=CONSENTS,
            grants=views.grants_of(app, now),
            mandates=views.mandates_of(app, now),
            held=views.held_of(app, now),
        )

    async def _consent_page(self, request: Request) -> Response:
        shown = views.grant_of(_app(request), request.path_params["number"], system_clock())
        if shown is None:
            raise NoSuchPage
        return _page(request, "app/take_back.html", current=CONSENTS, grant=shown)

    async def _all_page(self, request: Request) -> Response:
        others = views.stands_for(_app(request), POWER_REVOKE, system_clock())
        return _page(request, "app/take_all_back.html", current=CONSENTS, others=others)

    async def _consents_file(self, request: Request) -> Response:
        exported = consent_files.exported(_app(request).kept.grants, self._client.anchors, now=system_clock())
        return attachment([exported], "consents.json")

    async def _draft_page(self, request: Request) -> Response:
        draft = _app(request).draft
        ends = None if draft is None else system_clock() + milliseconds(draft.life)
        powers = {POWER_NAMES[power]: words for power, words in POWERS.items()}
        chosen = [] if draft is None else [POWERS[power] for power in draft.powers]
        return _page(
            request,
            "app/mandate.html",
            current=CONSENTS,
            powers=powers,
            chosen=chosen,
            ends=ends,
            most_days=LONGEST_MANDATE.days,
        )

    async def _mandate_page(self, request: Request) -> Response:
        number = request.path_params["number"]
        shown = next((one for one in views.mandates_of(_app(request), system_clock()) if one.number == number), None)
        if shown is None:
            raise NoSuchPage
        return _page(request, "app/mandate_given.html", current=CONSENTS, mandate=shown)

    async def _mandate_file(self, request: Request) -> Response:
        number = request.path_params["number"]
        kept = next((one for one in _app(request).kept.mandates if one.number == number), None)
        if kept is None:
            raise NoSuchPage
        return attachment([kept.shown.SerializeToString(deterministic=True)], f"mandate-{number}.bin")

    async def _records_page(self, request: Request) -> Response:
        others = views.stands_for(_app(request), POWER_READ, system_clock())
        return _page(request, "app/records.html", current=RECORDS, others=others, link=_link)

    async def _part_page(self, request: Request) -> Response:
        record, part = _part(request)
        page = _number(request.query_params.get("page", "1"))
        sections, more = await run_in_threadpool(text_of, record, part, page)
        return _page(
            request,
            "app/part.html",
            current=RECORDS,
            part=part,
            record=record,
            sections=sections,
            page=page,
            more=more,
        )

    async def _part_file(self, request: Request) -> Response:
        record, part = _part(request)
        return attachment(content_of(record, part), part.file_name)

    async def _hidden_page(self, request: Request) -> Response:
        app = _app(request)
        found = app.hidings.found
        hidden = [] if found is None else [hidden_words(one) for one in found.restriction.hidden]
        return _page(
            request,
            "app/hidden.html",
            current=RECORDS,
            hidden=hidden,
            standing=[] if found is None else list(standing_lines(found)),
            others=views.stands_for(app, POWER_RESTRICT, system_clock()),
            classes=sorted(self._client.anchors.department_classes),
        )

    async def _add_page(self, request: Request) -> Response:
        return _page(
            request,
            "app/add.html",
            current=RECORDS,
            others=views.stands_for(_app(request), POWER_ADD, system_clock()),
            classes=sorted(self._client.anchors.department_classes),
            who_reads=WHO_READS,
            typed={**self._written, **_app(request).typed},
        )

    async def _read_over_page(self, request: Request) -> Response:
        new = _app(request).new_record
        if new is None:
            return RedirectResponse(RECORDS, 302)
        is_note = new.document.media_type == NOTE_TYPE
        note = printable_lines(new.document.content.decode(errors="replace")) if is_note else ""
        return _page(
            request,
            "app/read_over.html",
            current=RECORDS,
            new=new,
            note=note,
            who_reads=WHO_READS[new.sensitivity],
        )

    async def _reads_page(self, request: Request) -> Response:
        others = views.stands_for(_app(request), POWER_LOG, system_clock())
        found = _app(request).reads.found
        errors = {} if found is None else found.missing
        missing = {missing_words(party_id, error): told(error) for party_id, error in errors.items()}
        return _page(
            request,
            "app/reads.html",
            current=READS,
            others=others,
            missing=missing,
            own_words=BY_ONESELF,
            now=system_clock(),
        )

    async def _reads_file(self, request: Request) -> Response:
        found = _app(request).reads.found
        if found is None:
            raise NoSuchPage
        return attachment([found.as_fhir(now=system_clock())], "accesses.json")

    # Forms that need more than a line.

    def _given(self, form: Form) -> Command:
        photo = form.file("photo")
        return visiting.given(self._client, form.text("code"), photo.content if photo else b"")

    def _attached(self, form: Form) -> Command:
        file = form.file("file")
        return visiting.attach(self._client, file.name if file else "no file", file.content if file else b"")

    def _hide(self, form: Form) -> Command:
        what, record = form.text("what"), form.text("record")
        hospital = form.text("hospital").strip() if what in {"hospital", "record"} else ANY
        department = form.text("department") if what == "department" else ANY
        hidden = Hidden(hospital or ANY, department or ANY, record if what == "record" and record else ANY)
        if what != "all" and hidden == Hidden():
            raise MovedOn
        may_see = {"yes": True, "no": False}.get(form.text("emergency"))
        return reading.hide(self._client, _whose(form), hidden, may_see)

    async def _keep_written(self, request: Request) -> Response:
        """Keep in memory what is being written: a diagnosis that comes meanwhile takes the page away, and not the words."""
        form = await posted(request, *reading.FIELDS, "file", most_bytes=MOST_DOCUMENT_BYTES)
        self._written = {name: form.text(name) for name in reading.FIELDS if form.text(name)}
        return Response(status_code=204)

    def _new_record(self, form: Form) -> Command:
        self._written = {}
        file, note = form.file("file"), form.text("note")
        content, media_type = (file.content, media_type_of(file.name)) if file else (note.encode(), NOTE_TYPE)
        sensitivity = form.text("sensitivity")
        document = NewDocument(
            form.text("title").strip(), media_type, content, SENSITIVITIES.get(sensitivity, SENSITIVITIES["secret"])
        )
        hospital_id = HospitalId(form.text("hospital").strip())
        new = NewRecord(
            document,
            hospital_id,
            form.text("address").strip() or self.stage.snapshot.state.shelf.places.get(hospital_id, ""),
            form.text("department"),
            sensitivity,
            _whose(form),
        )
        return reading.write(self._client, new)

    async def _stop(self, request: Request) -> Response:
        """End the transfer that runs: it shows what came by then, and leaves this command nothing to do."""
        form = await posted(request)
        with suppress(MovedOn):
            await self.stage.do(lambda _: None, seen=form.seen, cancels=True)
        return render.home()

    def _of_whom(self, form: Form) -> PatientId:
        return _whose(form) or self._client.patient_id

    def _form(
        self,
        path: str,
        command_of: CommandOf,
        *names: str,
        many: Collection[str] = (),
        files: Collection[str] = (),
        most_bytes: int = MOST_BYTES,
        cancels: bool = False,
    ) -> Route:
        """Return the route of a form that puts one command."""
        read = partial(posted, many=many, files=files, most_bytes=most_bytes)

        async def handle(request: Request) -> Response:
            form = await read(request, *names)
            await self.stage.do(self._client.command(command_of(form)), seen=form.seen, cancels=cancels)
            return render.home()

        return Route(path, handle, methods=["POST"])


def _page(request: Request, template: str, *, current: str, **context: Any) -> Response:  # noqa: ANN401 - a page's own
    """Render a page of the part of the navigation that is `current`; what is told once is told where it happened alone."""
    is_place = request.url.path == _app(request).place
    return render.page(request, template, current=current, is_place=is_place, **context)


def _app(request: Request) -> App:
    app: App = render.snapshot_of(request).state
    return app


def _whose(form: Form) -> PatientId | None:
    return PatientId(form.text("whose")) if form.text("whose") else None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9])):
        raise NoSuchPage
    return int(text[:9])


def _file(form: Form) -> bytes:
    file = form.file("file")
    return b"" if file is None else file.content


def _diagnosis(request: Request) -> Diagnosis:
    key = request.path_params["key"]
    for one in _app(request).kept.diagnoses:
        if one.session_id.hex() == key:
            return one
    raise NoSuchPage


def _part(request: Request) -> tuple[FetchedRecord, Part]:
    records = _app(request).shelf.records
    found = None if records is None else records.part(request.path_params["key"])
    if found is None:
        raise NoSuchPage
    return found


def _link(key: str) -> str:
    return f"{RECORDS}/part/{key}"
