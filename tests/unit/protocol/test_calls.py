"""The single calls to the cloud: pub, ekput, tlsca, tkt, rev, rst, rstget; and a doctor's request for a room."""

from datetime import timedelta

import pytest

from federation.errors import (
    CertificateForeign,
    FieldInvalid,
    FutureDated,
    IdentityMismatch,
    MissingField,
    Replayed,
    SealInvalid,
    SignatureInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownField,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol.calls import CERTIFY_TLS, FETCH_RESTRICTIONS, PUBLISH, RENEW, RESTRICT, REVOKE, TICKET
from federation.protocol.restriction import ask_due, ask_restricting
from federation.protocol.room_requests import ask_for_room, receive_room_request
from federation.protocol.time import Freshness
from federation.v1.membership_pb2 import EncryptionKeyRenewal, TicketRequest, TlsIdentityRequest
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, Publication
from federation.v1.revocation_pb2 import Revocation
from federation.v1.statement_pb2 import SENSITIVITY_NORMAL
from tests.mallory import call, refused, rejected, with_unknown_field
from tests.simulator import CLOUD_ID


class Calling:
    """A call, by the party that may make it."""

    def __init__(self, federation, kind, payload, member):
        self.federation, self.kind, self.member = federation, kind, member
        cloud_key, now = federation.cloud.encryption_key(), federation.clock.now
        self.opening, self.plaintext = kind.send(payload, member.keys.signing_key, cloud_key, now=now)

    def receive(self, opening=None, *, cloud_id=CLOUD_ID):
        epochs, now = self.federation.cloud.epochs, self.federation.clock.now
        return self.kind.receive(opening or self.opening, epochs, cloud_id, Freshness(), now=now)

    def verify(self, opening=None, sender=None):
        party = self.federation.party(sender or self.member).self_
        return self.receive(opening).verify(party, now=self.federation.clock.now)

    def admit(self, opening=None):
        pending, now = self.verify(opening), self.federation.clock.now
        return pending.admit(self.federation.cloud.replay.admit(pending.replay_key, now=now, until=pending.keep_until))


def publication():
    return Publication(
        action=PUBLICATION_ACTION_ADD,
        patient_id="P:wang",
        department_id="H:alpha/cardiology",
        hospital_id="H:alpha",
        handle=bytes(16),
        sensitivity=SENSITIVITY_NORMAL,
        nonce=b"n" * 16,
    )


@pytest.fixture(params=["pub", "ekput", "tlsca", "tkt", "rev", "rst", "rstget"])
def calling(request, federation):
    hospital, patient = federation.hospital_a, federation.patient
    entropy = federation.entropy
    cases = {
        "pub": lambda: (PUBLISH, publication(), hospital),
        "ekput": lambda: (
            RENEW,
            EncryptionKeyRenewal(
                encryption_key_statement=federation.party(hospital).encryption_key_statement, address="localhost:3"
            ),
            hospital,
        ),
        "tlsca": lambda: (
            CERTIFY_TLS,
            TlsIdentityRequest(hospital_id="H:alpha", certificate_signing_request=b"csr", nonce=entropy(16)),
            hospital,
        ),
        "tkt": lambda: (TICKET, TicketRequest(hospital_id="H:alpha", patient_id="P:new", nonce=entropy(16)), hospital),
        "rev": lambda: (
            REVOKE,
            Revocation(owner_id="P:wang", before=1, key_statement=patient.key_statement, nonce=entropy(16)),
            patient,
        ),
        "rst": lambda: (
            RESTRICT,
            ask_restricting(federation.party(patient), "P:wang", None, None, entropy(16)),
            patient,
        ),
        "rstget": lambda: (FETCH_RESTRICTIONS, ask_due(federation.party(hospital), (), entropy=entropy), hospital),
    }
    kind, payload, member = cases[request.param]()
    if request.param == "pub":
        payload.nonce = entropy(16)
    return Calling(federation, kind, payload, member)


def test_a_call_is_taken(calling):
    opened = calling.admit()
    assert opened.plaintext == calling.plaintext
    assert calling.receive().claimed_sender == calling.member.identity


def test_a_replayed_call_is_refused(calling):
    calling.admit()
    with rejected(Replayed):
        calling.admit()


def test_a_replayed_call_sealed_again_is_refused(federation, calling):
    calling.admit()
    with rejected(Replayed):
        calling.admit(call(federation, calling.kind).change(calling.opening, lambda payload: None))


def test_a_stale_call_is_refused(federation, calling):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        calling.receive()


def test_a_future_dated_call_is_refused(federation, calling):
    federation.clock.advance(timedelta(seconds=-6))
    with refused(FutureDated):
        calling.receive()


def test_a_call_with_a_time_mismatch_is_refused(federation, calling):
    seal = call(federation, calling.kind)
    with rejected(TimeMismatch):
        calling.receive(seal.close(calling.opening, seal.open(calling.opening), sent_at=calling.opening.sent_at + 1))


def test_a_call_of_another_sender_is_refused(federation, calling):
    with rejected(IdentityMismatch):
        calling.verify(sender=federation.hospital_b)


def test_a_call_with_a_wrong_signature_is_refused(federation, calling):
    changed = call(federation, calling.kind).change(
        calling.opening, lambda payload: setattr(payload, "signature", bytes(64))
    )
    with rejected(SignatureInvalid):
        calling.verify(changed)


def test_a_call_for_another_cloud_is_refused(calling):
    with rejected(SealInvalid):
        calling.receive(cloud_id="C:other")


def test_a_call_signed_for_another_cloud_is_refused(federation, calling):
    """A rogue cloud opens the call and seals it to this one."""
    payload = calling.kind.payload_type.FromString(calling.plaintext)
    signed = calling.kind._signed(payload, "C:other")
    payload.signature = calling.member.keys.signing_key.sign(signed)
    with rejected(SignatureInvalid):
        calling.verify(call(federation, calling.kind).close(calling.opening, payload))


def test_a_call_with_a_session_is_refused(calling):
    calling.opening.session_id = b"s" * 16
    with refused(FieldInvalid):
        calling.receive()


def test_a_call_of_an_unsupported_version_is_refused(calling):
    calling.opening.version = 2
    with refused(UnsupportedVersion):
        calling.receive()


def test_a_call_to_an_unknown_key_id_is_refused(calling):
    calling.opening.key_id = bytes(16)
    with refused(UnknownKeyId):
        calling.receive()


def test_an_unknown_field_in_a_call_is_refused(federation, calling):
    with rejected(UnknownField):
        calling.receive(call(federation, calling.kind).close(calling.opening, with_unknown_field(calling.plaintext)))


def test_a_missing_field_in_a_call_is_refused(federation, calling):
    changed = call(federation, calling.kind).change(calling.opening, lambda payload: payload.ClearField("signature"))
    with rejected(MissingField):
        calling.receive(changed)


def test_one_kind_of_call_is_not_another(federation):
    """The name is in info, so a ticket request is no publication."""
    calling = Calling(federation, PUBLISH, publication(), federation.hospital_a)
    with rejected(SealInvalid):
        TICKET.receive(calling.opening, federation.cloud.epochs, CLOUD_ID, Freshness(), now=federation.clock.now)


@pytest.mark.parametrize(
    "change",
    [
        lambda pub: setattr(pub, "patient_id", "P:lin"),
        lambda pub: setattr(pub, "department_id", "H:alpha/neurology"),
        lambda pub: setattr(pub, "handle", b"x" * 16),
        lambda pub: setattr(pub, "action", 2),
        lambda pub: setattr(pub, "doctor_id", "D:roe"),
        lambda pub: setattr(pub, "consent_digest", bytes(32)),
    ],
)
def test_every_field_of_a_publication_is_signed(federation, change):
    calling = Calling(federation, PUBLISH, publication(), federation.hospital_a)
    with rejected(SignatureInvalid):
        calling.verify(call(federation, PUBLISH).change(calling.opening, change))


def test_a_renewal_of_somebody_elses_key_is_refused(federation):
    """The call claims to be the owner's of the EK inside, so another's signature does not hold."""
    statement = federation.party(federation.hospital_b).encryption_key_statement
    payload = EncryptionKeyRenewal(encryption_key_statement=statement)
    calling = Calling(federation, RENEW, payload, federation.hospital_a)
    with rejected(SignatureInvalid):
        calling.verify(sender=federation.hospital_b)


@pytest.fixture
def room_request(federation):
    return ask_for_room(
        federation.party(federation.doctor), "H:beta", now=federation.clock.now, entropy=federation.entropy
    )


def receive_room(federation, request, hospital_id="H:beta"):
    return receive_room_request(request, hospital_id, federation.hospital_b.verifier(), now=federation.clock.now)


def test_a_request_for_a_room_is_taken_once(federation, room_request):
    pending = receive_room(federation, room_request)
    assert pending.admit(True).identity == "D:chen"
    with rejected(Replayed):
        pending.admit(False)


def test_a_stale_request_for_a_room_is_refused(federation, room_request):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        receive_room(federation, room_request)


def test_a_request_for_another_hospitals_room_is_refused(federation, room_request):
    with refused(SignatureInvalid):
        receive_room(federation, room_request, "H:alpha")


@pytest.mark.parametrize("field", ["nonce", "sent_at"])
def test_a_request_for_a_room_changed_after_signing_is_refused(federation, room_request, field):
    setattr(room_request, field, b"x" * 16 if field == "nonce" else room_request.sent_at - 1)
    with refused(SignatureInvalid):
        receive_room(federation, room_request)


def test_a_request_for_a_room_without_a_field_is_refused(federation, room_request):
    room_request.ClearField("encryption_key_statement")
    with refused(MissingField):
        receive_room(federation, room_request)


def test_a_request_for_a_room_with_anothers_statements_is_refused(federation, room_request):
    room_request.encryption_key_statement.CopyFrom(federation.party(federation.other_doctor).encryption_key_statement)
    with refused(SignatureInvalid):
        receive_room(federation, room_request)


def test_foreign_means_a_legal_certificate_of_somebody_else():
    assert CertificateForeign.reason == "CERTIFICATE_FOREIGN"
