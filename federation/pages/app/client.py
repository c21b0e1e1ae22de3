"""The patient's client behind the pages: opened with a reading of the body, closed by the lock, used by one thread at a time."""

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import TextIO

from federation.clock import system_clock
from federation.errors import FederationError, NoSuchRoom, Refused, SessionExpired, Unavailable
from federation.pages.app.states import DIAGNOSES, App, Heard, Kept, ListeningApp, Notice, Waited
from federation.pages.app.words import OTHERWISE, told
from federation.pages.records import Records
from federation.pages.stage import Progress, Stage
from federation.party.node_directory import NodeDirectory
from federation.person.accesses import EMERGENCIES_UNASKED
from federation.person.errors import NoAnswer
from federation.person.node import OpenPatient, open_patient
from federation.person.patient import PatientClient
from federation.person.pending import PendingConsultation
from federation.person.profile import PatientSettings
from federation.person.room_view import DoctorName
from federation.protocol.anchors import Anchors
from federation.protocol.time import Instant
from federation.words import EXPECTED, plain
from keystore.identities import PatientId

_log = logging.getLogger(__name__)

Command = Callable[[App], App | None]

LISTEN_SECONDS = 20.0
"""How long all diagnoses are waited for in turn: their hospitals hold the calls. What a person does ends the wait."""

AMENDMENT_SECONDS = 1.0
"""How long an amendment is looked for: it is there, or mostly none comes."""

AMENDMENTS_EVERY_SECONDS = 10.0
"""How often each diagnosis is asked after: an app that lies open all day is to be light on its hospitals."""


class AppClient:
    """A patient's client while it is open, and how to open it again.

    Every method is called by the thread that works for the stage, or while that one rests.
    """

    def __init__(
        self,
        directory: NodeDirectory,
        sensor: Path | None,
        *,
        dial_only: Sequence[str] = (),
        trace: TextIO | None = None,
        patience_seconds: float,
    ) -> None:
        """Say how to open it: `sensor` stands for who holds the device; a doctor is asked for so long to answer."""
        self._directory, self._sensor, self._dial_only, self._trace = directory, sensor, dial_only, trace
        self.patience_seconds = patience_seconds
        self.patient_id = PatientId(directory.settings(PatientSettings).identity)
        self._stack = ExitStack()
        self._opened: OpenPatient | None = None
        self._heard: dict[bytes, Heard] = {}
        self._records: Records | None = None
        self._turn, self._next_look = 0, 0.0
        self.stage: Stage[App] = Stage(App(self.patient_id), self.on_fault)

    @property
    def client(self) -> PatientClient:
        """Return the open client."""
        return self._open.client

    @property
    def anchors(self) -> Anchors:
        """Return what the federation is known by."""
        return self._open.member.anchors

    @property
    def now(self) -> Instant:
        """Return the time."""
        return system_clock()

    def open(self) -> App:
        """Take a reading, open the client with it, and return what it shows first.

        Raises BiometricMismatch for a stranger's, NotRegistered, and as `open_patient`.
        """
        with ExitStack() as stack:
            opened = stack.enter_context(
                open_patient(self._directory, self._sensor, self._trace, dial_only=self._dial_only)
            )
            opened.member.party(self.now)
            self._opened, self._stack = opened, stack.pop_all()
        refusal = opened.refusal
        notice = None if refusal is None else replace(told(refusal), kind="warn")
        return self.shown(self.with_emergencies(App(self.patient_id, notice=notice, kept=self.kept())))

    def begin(self) -> None:
        """Open the client for the first time, before anybody works for the stage. Raises as `open`."""
        self.stage.show(self.open())

    def close(self) -> None:
        """Close the client, and remove what was fetched."""
        self.keep_records(None)
        self._opened = None
        self._stack.close()

    def command(self, work: Command) -> Command:
        """Return a command that shows what some work makes of the app, unless that is None."""

        def run(app: App) -> App | None:
            after = work(app)
            return None if after is None else self.shown(after)

        return run

    def shown(self, app: App) -> App:
        """Return the app as it is shown: listening where a diagnosis may come, and told what waited and was refused."""
        if app.notice is None and (refused := self.client.acts.take_refused()):
            app = replace(app, notice=Notice("bad", " ".join(refused)))
        values = {field.name: getattr(app, field.name) for field in fields(App)}
        return ListeningApp(**values, listen=self._listen) if app.listens else App(**values)

    def on_fault(self, app: App, error: Exception) -> App:
        """Return the app where something failed: told, and nothing under way."""
        if isinstance(error, EXPECTED):
            notice = told(error)
        else:
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("%s at %s:%d", type(error).__name__, Path(where.filename).name, where.lineno or 0)
            notice = Notice("bad", "Something went wrong in this program; it is not your doing. [INTERNAL]", OTHERWISE)
        return self.shown(replace(app.settled(), notice=notice))

    def tell(self, words: str, done: int = 0, total: int | None = None) -> None:
        """Show how far the command is. Raises Cancelled."""
        self.stage.tell(Progress(words, done, total))

    def kept(self) -> Kept:
        """Read what this device keeps."""
        client, consents = self.client, self.client.consents
        return Kept(
            waiting=tuple(self._waited(one) for one in client.waiting()),
            amendable=tuple(client.amendable()),
            diagnoses=tuple(client.diagnoses()),
            grants=tuple(consents.grants()),
            mandates=tuple(consents.mandates()),
            held=tuple(consents.held()),
        )

    def refreshed(self) -> Notice | None:
        """Bring the lists up to date; return what is told where the public cloud does not answer."""
        try:
            self.client.refresh()
        except Unavailable:
            return Notice("warn", "The public cloud does not answer: what was taken back lately may not show.")
        return None

    def with_emergencies(self, app: App) -> App:
        """Return the app with the emergencies that are new; where nobody answers, with those that were known, and why."""
        try:
            return replace(app, emergencies=tuple(self.client.new_emergencies()), unasked="")
        except FederationError as error:
            return replace(app, unasked=f"{EMERGENCIES_UNASKED} {plain(error)}")

    def keep_records(self, records: Records | None) -> None:
        """Keep these records, and remove what was fetched of others before."""
        if self._records is not None and (records is None or records.source is not self._records.source):
            self._records.close()
        self._records = records

    def _listen(self, app: App, _seconds: float) -> App | None:
        """Wait for each diagnosis in its turn, until the person does something, and show the first that comes."""
        interruption = self.stage.interruption
        waiting = [one.pending for one in app.kept.waiting if not one.heard.is_end]
        for pending in waiting:
            try:
                found = self.client.await_diagnosis(
                    pending, seconds=max(LISTEN_SECONDS / len(waiting), AMENDMENT_SECONDS), interruption=interruption
                )
            except (NoAnswer, Unavailable):
                continue
            except FederationError as error:
                heard = Heard(plain(error), isinstance(error, NoSuchRoom | Refused | SessionExpired))
                # Anybody with the code may put a frame: what is false is told once, and passed over.
                if self._heard.get(pending.state.session_id) == heard:
                    continue
                self._heard[pending.state.session_id] = heard
                return self.shown(replace(app, kept=self.kept()))
            came = Notice("ok", f"The diagnosis of {_called(pending)} came.")
            return self.shown(app.at(f"{DIAGNOSES}/{found.session_id.hex()}", came, kept=self.kept()))
        return None if interruption.is_set() else self._look_for_amendment(app, may_rest=not waiting)

    def _look_for_amendment(self, app: App, *, may_rest: bool) -> App | None:
        """Look for what amends one of the diagnoses that came, each in its turn: mostly nothing does."""
        amendable = list(self.client.amendable())
        rest = max(0.0, self._next_look - time.monotonic()) if amendable else LISTEN_SECONDS
        if rest > 0:
            self.stage.interruption.wait(rest if may_rest else 0)
            return None
        self._next_look = time.monotonic() + AMENDMENTS_EVERY_SECONDS / len(amendable)
        self._turn += 1
        diagnosed = amendable[self._turn % len(amendable)]
        try:
            found = self.client.look_for_amendment(
                diagnosed, seconds=AMENDMENT_SECONDS, interruption=self.stage.interruption
            )
        except Unavailable:
            return None
        except FederationError as error:
            heard = Heard(plain(error))
            if self._heard.get(diagnosed.state.session_id) == heard:
                return None
            self._heard[diagnosed.state.session_id] = heard
            words = f"Whether {_called(diagnosed)} amended its diagnosis could not be found out. {heard.words}"
            return self.shown(replace(app, notice=Notice("warn", words, "Ask the doctor.")))
        if found is None:
            return None
        words = f"{_called(diagnosed)} amended the diagnosis."
        notice = Notice("warn", words, "Read it anew: it takes the place of what you were told before.")
        return self.shown(app.at(f"{DIAGNOSES}/{found.session_id.hex()}", notice, kept=self.kept()))

    def _waited(self, pending: PendingConsultation) -> Waited:
        return Waited(pending, _called(pending), self._heard.get(pending.state.session_id, Heard()))

    @property
    def _open(self) -> OpenPatient:
        if self._opened is None:
            raise AssertionError("the client is closed")  # the stage runs no command while it is locked
        return self._opened


def _called(pending: PendingConsultation) -> str:
    """Return who the doctor is in a sentence."""
    name, doctor_id = DoctorName.of(pending.state.doctor.certificate).name, pending.doctor_id
    return f"{name} ({doctor_id})" if name else doctor_id
