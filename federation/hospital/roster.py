"""Who is on duty here: the hospital's roster, and the duties that it states by it.

A duty is signed when its doctor first asks for it, kept before it is handed out, and handed out again as long as it fits: so it
can be taken back by whoever ends the shift, and the token signs once a shift, however often it is asked for.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from federation.errors import FieldInvalid, NotOnDuty
from federation.hospital.services import Hospital
from federation.party.audit import OK, AuditEvent
from federation.party.epochs import as_signed, as_stored
from federation.protocol.access import LONGEST_DUTY, Validity
from federation.protocol.anchors import Lists
from federation.protocol.consent import Shift, make_duty
from federation.protocol.duty import receive_duty_request
from federation.protocol.identities import require_identity
from federation.protocol.parties import Party
from federation.protocol.revocation import entries_of_duty
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.store.rows import Act, StoredShift
from federation.v1.access_pb2 import ShownDuty
from federation.v1.record_pb2 import GetDutyRequest, GetDutyResponse
from federation.v1.statement_pb2 import Duty, SignedStatement
from keystore.identities import DoctorId, class_of
from keystore.transcript import digest

SHIFT_BYTES = 16
MOST_CLASSES = 16
LONGEST_SPAN = timedelta(days=366)
SHIFTS_KEPT = timedelta(days=90)
"""After their end: so long anybody can look up who was on duty."""


@dataclass(frozen=True)
class Span:
    """A line of a roster: a doctor works in departments of these classes, or in none, from then until then, end excluded."""

    doctor_id: DoctorId
    department_classes: tuple[str, ...]
    not_before: Instant
    not_after: Instant

    def parts(self) -> Iterator["Span"]:
        """Yield it as shifts that a duty can be stated for, each of at most 24 hours."""
        begins = self.not_before
        while begins < self.not_after:
            ends = min(begins + milliseconds(LONGEST_DUTY), self.not_after)
            yield replace(self, not_before=begins, not_after=ends)
            begins = ends


def checked_span(
    hospital: Hospital, doctor_id: str, classes: Iterable[str], not_before: Instant, not_after: Instant
) -> Span:
    """Return a span that may go on the roster. Raises FieldInvalid for an id, a department or a time that may not."""
    named = tuple(sorted(set(classes)))
    for name in named:
        _require_class(hospital, name)
    if len(named) > MOST_CLASSES:
        raise FieldInvalid(f"a doctor is on duty in at most {MOST_CLASSES} departments at once, not {len(named)}")
    if not_before >= not_after:
        raise FieldInvalid("the shift ends before it begins")
    if not_after - not_before > milliseconds(LONGEST_SPAN):
        raise FieldInvalid(f"the shift lasts longer than {LONGEST_SPAN.days} days")
    return Span(require_identity("doctor", doctor_id), named, not_before, not_after)


def _require_class(hospital: Hospital, name: str) -> None:
    published = hospital.member.anchors.department_classes
    if name not in published:
        raise FieldInvalid(f"{name!r} is no department class; the federation has {', '.join(sorted(published))}")
    own = sorted({class_of(department_id) for department_id in hospital.departments})
    if name not in own:
        raise FieldInvalid(f"{hospital.identity} has no department of the class {name}; it has {', '.join(own)}")


@dataclass(frozen=True)
class Planned:
    """What spans change: shifts that would be new, and those that are there, of which some were ended by hand.

    `over` counts those that would be new and are in the past: nobody asks for a duty of then.
    """

    new: Sequence[StoredShift]
    present: Sequence[StoredShift]
    over: int

    @property
    def ended(self) -> Sequence[StoredShift]:
        """Return those that are there and were ended by hand: they stay so."""
        return [shift for shift in self.present if shift.ended_at is not None]


def planned(hospital: Hospital, spans: Iterable[Span], *, revive: bool = False) -> Planned:
    """Compare spans with the roster. `revive` makes a new shift where the same one was ended by hand."""
    new: dict[Span, StoredShift] = {}
    present: dict[Span, StoredShift] = {}
    on_file: dict[str, dict[Span, StoredShift]] = {}
    over, now = set[Span](), hospital.clock()
    for span in (part for whole in spans for part in whole.parts()):
        if span.doctor_id not in on_file:
            on_file[span.doctor_id] = _spans_of(hospital, span.doctor_id)
        found = on_file[span.doctor_id].get(span)
        if found is not None and not (revive and found.ended_at is not None):
            present[span] = found
        elif span.not_after <= now:
            over.add(span)
        elif span not in new:
            shift_id = hospital.entropy(SHIFT_BYTES)
            new[span] = StoredShift(shift_id, span.doctor_id, span.department_classes, span.not_before, span.not_after)
    return Planned(list(new.values()), list(present.values()), len(over))


def _spans_of(hospital: Hospital, doctor_id: DoctorId) -> dict[Span, StoredShift]:
    """Return a doctor's shifts by what they say; of two that say the same, the one that was not ended."""
    found: dict[Span, StoredShift] = {}
    for shift in hospital.stores.shifts.of(doctor_id, ending_after=0):
        span = Span(doctor_id, shift.department_classes, shift.not_before, shift.not_after)
        if span not in found or shift.ended_at is None:
            found[span] = shift
    return found


def put_on_roster(hospital: Hospital, shifts: Sequence[StoredShift], by: str, how: str) -> None:
    """Put shifts on the roster, all or none, with one entry in the log. Raises StoreError."""
    event = AuditEvent("ROSTER", OK, detail=f"{len(shifts)} shifts, {how}; by {by}")
    hospital.stores.shifts.add(shifts, act=Act(hospital.audit.entry(event, now=hospital.clock())))


def take_off_roster(hospital: Hospital, shift: StoredShift, by: str) -> bool:
    """End a shift here, at once; return whether it was not ended before. Raises StoreError."""
    now = hospital.clock()
    event = AuditEvent("DUTY-ENDED", OK, detail=f"{shift.shift_id.hex()} of {shift.doctor_id}; by {by}")
    return hospital.stores.shifts.end(shift.shift_id, at=now, act=Act(hospital.audit.entry(event, now=now)))


def require_on_duty(hospital: Hospital, doctor_id: str, lists: Lists) -> StoredShift:
    """Return the shift in which a doctor works here now; of several the one in most departments, then the longest.

    One that these lists take back is none. Raises NotOnDuty.
    """
    found = [
        shift
        for shift in hospital.stores.shifts.on(doctor_id, now=hospital.clock())
        # A database that was restored may have lost that it was ended.
        if not lists.is_revoked("duty", hospital.identity, shift.shift_id)
    ]
    if not found:
        raise NotOnDuty(f"the roster of {hospital.identity} does not name {doctor_id} now")
    return max(found, key=lambda shift: (len(shift.department_classes), shift.not_after))


def get_duty(hospital: Hospital, request: GetDutyRequest) -> GetDutyResponse:
    """State the duty of the doctor who asks, and show that it stands.

    Raises precisely what is wrong with the request, NotOnDuty, StaleRevocationList.
    """
    doctor = receive_duty_request(request, hospital.identity, hospital.member.verifier(), now=hospital.clock())
    duty = shown_duty(hospital, doctor.identity, doctor.verifying_key)  # GetDuty.5
    return GetDutyResponse(duty=duty, revocations=hospital.member.verifier().lists.excerpt(entries_of_duty(duty)))


def shown_duty(hospital: Hospital, doctor_id: str, verifying_key: bytes) -> ShownDuty:
    """Return the duty of a doctor of this key who works here now, with KS_HPC.

    Raises NotOnDuty, NotRegistered, Authentication if the hospital's own credential fell.
    """
    lists = hospital.member.verifier().lists
    return duty_of(hospital, require_on_duty(hospital, doctor_id, lists), verifying_key)


def duty_of(hospital: Hospital, shift: StoredShift, verifying_key: bytes) -> ShownDuty:
    """Return the duty of a shift of now, for this key of its doctor, with KS_HPC.

    Raises NotOnDuty if it was ended meanwhile, NotRegistered, Authentication if the hospital's own credential fell.
    """
    party = hospital.member.party(hospital.clock())
    duty = _fitting(shift, party, verifying_key) or _stated(hospital, shift, party, verifying_key)
    return ShownDuty(duty=duty, key_statement=party.self_.key_statement)


def _fitting(shift: StoredShift, hospital: Party, verifying_key: bytes) -> SignedStatement | None:
    """Return the duty that is kept, if it is by this credential of the hospital and for this key of the doctor."""
    if shift.duty is None:
        return None
    kept = as_signed(shift.duty)
    duty = peek_statement(Duty, kept)
    is_fitting = (duty.hospital_serial, duty.verifying_key_digest) == (hospital.self_.serial, digest(verifying_key))
    return kept if is_fitting else None


def _stated(hospital: Hospital, shift: StoredShift, party: Party, verifying_key: bytes) -> SignedStatement:
    """State a shift's duty and keep it. Raises NotOnDuty if the shift was ended meanwhile."""
    validity = Validity(shift.not_before, shift.not_after)
    works = Shift(shift.shift_id, DoctorId(shift.doctor_id), shift.department_classes, validity)
    duty = make_duty(party, works, verifying_key)
    event = AuditEvent("DUTY-STATED", OK, detail=f"{shift.shift_id.hex()} of {shift.doctor_id}")
    act = Act(hospital.audit.entry(event, now=hospital.clock()))
    if not hospital.stores.shifts.keep_duty(shift.shift_id, as_stored(duty), act=act):
        raise NotOnDuty(f"the shift of {shift.doctor_id} was ended just now")
    return duty


def sweep_roster(hospital: Hospital) -> int:
    """Remove shifts that were over long ago, some at a time; return how many."""
    return hospital.stores.shifts.forget(over_before=hospital.clock() - milliseconds(SHIFTS_KEPT))
