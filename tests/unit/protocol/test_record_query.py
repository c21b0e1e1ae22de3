"""D4 and H2: the query and the record, and what each side refuses."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    CertificateForeign,
    CommitmentMismatch,
    CredentialRevoked,
    EmergencyRefused,
    FieldInvalid,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    IdentityMismatch,
    MissingField,
    NoSuchRecord,
    OutOfOrder,
    SealInvalid,
    SessionUnknown,
    SignatureInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownField,
)
from federation.protocol.access import Receiver
from federation.protocol.consent import Declaration, make_emergency
from federation.protocol.frames import Direction
from federation.protocol.outcomes import session_outcome
from federation.protocol.record import Received, Slice
from federation.protocol.shown import Shown
from federation.v1 import record_pb2
from federation.v1.access_pb2 import Access, DeclaredEmergency
from federation.v1.record_pb2 import RecordEnd, RecordQuery
from federation.v1.statement_pb2 import RIGHT_INDEX
from tests.contents import cut, record_of
from tests.grants import wide
from tests.mallory import (
    altered,
    reframed,
    refused,
    rejected,
    with_unknown_field,
)


@pytest.fixture
def intent(federation):
    return federation.intent(federation.grant())


class Reading:
    """D3 and H1 are done; D4's frame is made."""

    def __init__(self, federation, intent):
        self.federation = federation
        self.session, self.hospital = federation.establish(federation.hospital_a, intent)
        self.awaiting, self.frame = self.session.query(now=federation.clock.now)
        self.forward = self.session.session.sending

    def receive(self, frame=None):
        verifier = self.federation.hospital_a.verifier()
        return self.hospital.receive(frame or self.frame, verifier, now=self.federation.clock.now)

    def changed(self, change):
        return reframed(self.forward, "d4", self.frame, altered(RecordQuery, change))

    def decide(self, frame=None):
        return self.receive(frame).decide(
            self.federation.hospital_a.verifier(), Receiver(), now=self.federation.clock.now
        )

    def hear(self, *frames):
        state, pieces = self.awaiting, []
        for frame in frames:
            state, piece = state.receive(frame, self.federation.doctor.verifier(), now=self.federation.clock.now)
            pieces.append(piece)
        return pieces


@pytest.fixture
def reading(federation, intent):
    return Reading(federation, intent)


def test_a_query_is_decided_and_logged_before_anything_is_released(reading):
    logged = reading.decide()
    assert (logged.event.kind, logged.event.asker_id, logged.event.patient_id) == ("READ", "D:chen", "P:wang")
    assert logged.event.reason == "BEGUN"
    assert logged.recorded().classes == ("cardiology", "neurology", "psychiatry")


def test_a_stale_query_is_refused(federation, reading):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        reading.receive()


def test_a_query_with_a_time_mismatch_is_refused(reading):
    with rejected(TimeMismatch):
        reading.receive(reading.changed(lambda d4: setattr(d4, "sent_at", d4.sent_at - 1)))


def test_a_query_of_another_doctor_than_the_session_is_refused(reading):
    with rejected(IdentityMismatch):
        reading.receive(reading.changed(lambda d4: setattr(d4, "asker_id", "D:roe")))


def test_a_query_with_another_certificate_is_refused_as_foreign(reading):
    with rejected(CertificateForeign):
        reading.receive(reading.changed(lambda d4: setattr(d4, "doctor_certificate_digest", bytes(32))))


@pytest.mark.parametrize(
    "change",
    [
        lambda d4: setattr(d4, "patient_id", "P:lin"),
        lambda d4: setattr(d4, "blind", bytes(32)),
        lambda d4: setattr(d4.scope, "department_class", "psychiatry"),
        lambda d4: d4.scope.handles.append(bytes(16)),
        lambda d4: d4.ClearField("access"),
    ],
    ids=["patient", "blind", "class", "handles", "access"],
)
def test_a_query_that_does_not_open_the_commitment_is_refused(reading, change):
    with rejected(CommitmentMismatch):
        reading.receive(reading.changed(change))


def test_a_query_for_another_grant_than_committed_is_refused(federation, reading):
    other = federation.grant()
    with rejected(CommitmentMismatch):
        reading.receive(reading.changed(lambda d4: d4.access.consent.grant.CopyFrom(other)))


def test_a_query_with_a_storing_scope_is_refused(federation):
    storing = federation.intent(federation.grant(), record_pb2.PURPOSE_STORE, "cardiology")
    with rejected(FieldInvalid):
        Reading(federation, storing).receive()


def test_a_query_for_more_records_than_a_field_may_name_is_never_sent(federation):
    intent = federation.intent(federation.grant(), handles=(bytes(16),) * 65)
    session, _ = federation.establish(federation.hospital_a, intent)
    with refused(FieldInvalid):
        session.query(now=federation.clock.now)


def test_an_unknown_field_in_a_query_is_refused(reading):
    with rejected(UnknownField):
        reading.receive(reframed(reading.forward, "d4", reading.frame, with_unknown_field))


def test_a_missing_field_in_a_query_is_refused(reading):
    with rejected(MissingField):
        reading.receive(reading.changed(lambda d4: d4.ClearField("scope")))


def test_a_query_of_another_session_is_refused(federation, intent, reading):
    with rejected(SessionUnknown):
        reading.receive(Reading(federation, intent).frame)


def test_a_query_without_a_grant_is_refused_as_missing(federation):
    with refused(GrantMissing):
        Reading(federation, federation.intent(None)).decide()


def test_a_query_under_another_doctors_grant_is_refused_as_invalid(federation):
    grant = federation.grant(doctor=federation.other_doctor)
    with refused(GrantInvalid):
        Reading(federation, federation.intent(grant)).decide()


def test_a_query_under_an_expired_grant_is_refused(federation):
    grant = federation.grant(wide(life=timedelta(minutes=1)))
    federation.clock.advance(timedelta(minutes=1))
    with refused(GrantExpired):
        Reading(federation, federation.intent(grant)).decide()


def test_a_query_under_a_revoked_grant_is_refused(federation, reading, intent):
    federation.revoke_grant(intent.shown.consent.grant)
    with refused(GrantRevoked):
        reading.decide()


@pytest.mark.parametrize(
    "terms",
    [wide(rights=[RIGHT_INDEX]), wide(hospitals=["H:beta"]), wide(department_classes=["psychiatry"])],
    ids=["missing right", "other hospital", "other class"],
)
def test_a_query_outside_the_grants_scope_is_refused(federation, terms):
    intent = federation.intent(federation.grant(terms), department_class="cardiology")
    with refused(GrantScope):
        Reading(federation, intent).decide()


def test_a_query_for_all_classes_gives_only_the_grants_classes(federation):
    intent = federation.intent(federation.grant(wide(department_classes=["cardiology"])))
    assert Reading(federation, intent).decide().recorded().classes == ("cardiology",)


def test_another_patients_key_statement_beside_the_grant_is_refused(federation, reading):
    """c_P does not cover KS_P: the grant, which it does cover, has to bear the signature of that KS_P's key."""
    other = federation.other_patient.key_statement
    with refused(GrantInvalid):
        reading.decide(reading.changed(lambda d4: d4.access.consent.key_statement.CopyFrom(other)))


def test_a_query_of_a_revoked_patient_is_refused(federation, reading):
    federation.revoke(federation.patient, federation.hospital_a)
    with rejected(CredentialRevoked):
        reading.decide()


def test_an_emergency_is_refused_where_no_policy_lets_one_in(federation):
    declared = Declaration("P:wang", "unconscious", "found in the street")
    doctor, now = federation.party(federation.doctor), federation.clock.now
    emergency = make_emergency(doctor, declared, now=now, entropy=federation.entropy)
    access = Access(emergency=DeclaredEmergency(emergency=emergency, duty=federation.duty()))
    intent = replace(federation.intent(None), shown=Shown("P:wang", access))
    with refused(EmergencyRefused):
        Reading(federation, intent).decide()


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (record_pb2.SESSION_OUTCOME_NO_RECORD, NoSuchRecord),
        (record_pb2.SESSION_OUTCOME_GRANT_EXPIRED, GrantExpired),
        (record_pb2.SESSION_OUTCOME_GRANT_REVOKED, GrantRevoked),
        (record_pb2.SESSION_OUTCOME_GRANT_SCOPE, GrantScope),
        (record_pb2.SESSION_OUTCOME_GRANT_MISSING, GrantMissing),
        (record_pb2.SESSION_OUTCOME_EMERGENCY_REFUSED, EmergencyRefused),
    ],
)
def test_a_sealed_refusal_is_told_to_the_confirmed_doctor(federation, reading, outcome, error):
    with refused(error):
        reading.hear(reading.receive().refuse(outcome, now=federation.clock.now))


def test_what_a_confirmed_doctor_may_not_be_told_has_no_outcome():
    assert session_outcome(GrantInvalid("x")) is None
    assert session_outcome(GrantExpired("x")) == record_pb2.SESSION_OUTCOME_GRANT_EXPIRED


class Served:
    """M_EMR goes in two slices and the end."""

    def __init__(self, reading):
        self.reading, now = reading, reading.federation.clock.now
        release = reading.decide().recorded()
        self.backward = reading.session.session.receiving
        self.record = record_of(b"one", b"two")
        self.pieces = cut(self.record, 50)
        release, first = release.slice(self.pieces[0], now=now)
        release, second = release.slice(self.pieces[1], now=now)
        self.first, self.second = first.frame, second.frame
        self.end = release.end(3, now=now)

    def end_changed(self, change, name="h2"):
        direction = Direction(self.backward.session_id, self.backward.keys, 2)
        return reframed(direction, name, self.end, altered(RecordEnd, change))


@pytest.fixture
def served(reading):
    return Served(reading)


def test_a_record_is_taken(served):
    first, second, end = served.reading.hear(served.first, served.second, served.end)
    assert (first, second) == (Slice(served.record[:50]), Slice(served.record[50:]))
    assert isinstance(end, Received)
    assert end.end.version == 3


def test_a_stale_record_is_refused(federation, served):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        served.reading.hear(served.first)


def test_a_record_that_takes_long_is_taken(federation, served):
    """T is checked on the first frame alone: a large record takes its time."""
    federation.clock.advance(timedelta(seconds=29))
    state, _ = served.reading.awaiting.receive(served.first, federation.doctor.verifier(), now=federation.clock.now)
    federation.clock.advance(timedelta(minutes=10))
    state, _ = state.receive(served.second, federation.doctor.verifier(), now=federation.clock.now)
    state.receive(served.end, federation.doctor.verifier(), now=federation.clock.now)


@pytest.mark.parametrize("field", ["session_id", "sequence", "last", "sealed", "sent_at"])
def test_a_frame_of_a_record_without_a_clear_field_is_refused_precisely(served, field):
    served.first.ClearField(field)
    with refused(MissingField):
        served.reading.hear(served.first)


def test_a_record_with_a_slice_left_out_is_refused_as_out_of_order(served):
    with rejected(OutOfOrder):
        served.reading.hear(served.first, served.end)


def test_a_truncated_record_is_never_received(served):
    """The stream ends after the slices: there is no `Received`, and nothing counts as a record (C8)."""
    pieces = served.reading.hear(served.first, served.second)
    assert not any(isinstance(piece, Received) for piece in pieces)


def test_a_slice_passed_off_as_the_end_is_refused(served):
    served.first.last = True
    with rejected(SealInvalid):
        served.reading.hear(served.first)


def test_another_record_than_the_signed_one_is_refused(served):
    direction = Direction(served.backward.session_id, served.backward.keys, 1)
    other = reframed(direction, "h2", served.second, lambda piece: piece.replace(b"onetwo", b"twoone"))
    with rejected(SignatureInvalid):
        served.reading.hear(served.first, other, served.end)


@pytest.mark.parametrize(
    "change",
    [lambda end: setattr(end, "version", 4), lambda end: setattr(end, "signature", bytes(64))],
    ids=["version", "signature"],
)
def test_a_record_with_a_wrong_signature_is_refused(served, change):
    with rejected(SignatureInvalid):
        served.reading.hear(served.first, served.second, served.end_changed(change))


@pytest.mark.parametrize("field", ["signature", "version"])
def test_a_served_record_without_its_signature_is_refused_as_missing(served, field):
    with rejected(MissingField):
        served.reading.hear(served.first, served.second, served.end_changed(lambda end: end.ClearField(field)))


def test_a_records_end_with_a_time_mismatch_is_refused(served):
    with rejected(TimeMismatch):
        end = served.end_changed(lambda end: setattr(end, "sent_at", end.sent_at + 1))
        served.reading.hear(served.first, served.second, end)


def test_a_record_of_a_hospital_revoked_meanwhile_is_refused(federation, served):
    federation.revoke(federation.hospital_a, federation.doctor)
    with rejected(CredentialRevoked):
        served.reading.hear(served.first, served.second, served.end)


def test_a_reflected_query_is_refused(served):
    with rejected(SealInvalid):
        served.reading.hear(served.reading.frame)


@pytest.mark.parametrize("field", ["session_id", "sequence", "last", "sealed", "sent_at"])
def test_a_frame_without_a_clear_field_is_refused_precisely(reading, field):
    reading.frame.ClearField(field)
    with refused(MissingField):
        reading.receive()
