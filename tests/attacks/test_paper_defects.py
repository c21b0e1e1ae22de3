"""Findings X1 to X15: what does not run in the paper as printed runs here, and by the repair that docs/findings.md names."""

import os

import pytest
from cryptography.exceptions import InvalidSignature

from federation.errors import CommitmentMismatch
from federation.protocol import consultation as common
from federation.protocol import record, search
from federation.protocol.index import Location
from federation.protocol.shown import Shown
from federation.v1 import publication_pb2
from federation.v1.record_pb2 import RecordQuery
from federation.v1.statement_pb2 import RIGHT_INDEX, Credential, EncryptionKeyStatement, KeyStatement
from keystore.curve import FIELD_PRIME, ORDER, private_key, public_point, require_point, scalar_from_seed, x_of
from keystore.transcript import digest, transcript
from tests.grants import wide
from tests.mallory import altered, c, d1_from, d2, h1_from, p1_to, reframed, rejected
from tests.simulator import BIOMETRIC_PASSWORD


def exchange(federation):
    """P1 and D1, opened."""
    awaiting, opening = federation.open_consultation()
    asked = federation.receive_opening(opening)
    _, reply = asked.reply(now=federation.clock.now, entropy=federation.entropy)
    established = awaiting.receive(reply, federation.patient.verifier(), now=federation.clock.now)
    return asked, d1_from(federation, federation.doctor).open(reply), established


def session(federation):
    """D3 and H1, opened."""
    awaiting, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    asked = federation.receive_session(federation.hospital_a, opening)
    _, reply = asked.reply(now=federation.clock.now, entropy=federation.entropy)
    established = awaiting.receive(reply, federation.doctor.verifier(), now=federation.clock.now)
    return asked, h1_from(federation, federation.hospital_a).open(reply), established


def test_x1_one_hash_with_the_role_inside(federation):
    """Issuing and checking use one z over one encoding; the role and the label keep the uses apart."""
    party = federation.party(federation.patient).self_
    issuer = federation.cloud.keys.issuing.public_key
    right = public_point(party.registration_point, issuer, party.credential)
    assert right == federation.party(federation.patient).registration_secret.public_point == party.public_point
    assert Credential.FromString(party.credential).attribute == digest(transcript("bp", BIOMETRIC_PASSWORD))
    assert digest(transcript("bp", b"x")) != digest(transcript("cred", b"x"))


def test_x2_both_sides_hash_the_doctors_certificate(federation):
    """U_D is computed from M_D, which contains H(Cert_D), by patient and doctor alike: eq. 22 holds."""
    _, d1, established = exchange(federation)
    credential = Credential.FromString(federation.party(federation.doctor).self_.credential)
    assert credential.attribute == digest(d1.doctor_certificate)
    assert established.session.key_confirmation == d1.key_confirmation


def test_x3_the_reply_is_verified_with_the_doctors_key(federation):
    """Eq. 21 names PUK_P; Sig_D1 holds under PUK_D, taken from the certified statement, and not under PUK_P."""
    asked, d1, established = exchange(federation)
    issuer = federation.cloud.keys.issuing.public_key
    signed = common.reply_transcript(d1, issuer, established.session.transcript_hash)
    established.session.peer.party.key.verify(d1.signature, signed)
    with pytest.raises(InvalidSignature):
        asked.peer.party.key.verify(d1.signature, signed)


def test_x4_the_hospitals_registration_point_is_carried(federation):
    """Eq. 44 needs R_HPC1: H1 carries it, equal to the one in KS_HPC, and the doctor's K is the hospital's."""
    _, h1, established = session(federation)
    assert h1.registration_point == federation.party(federation.hospital_a).self_.registration_point
    assert established.session.key_confirmation == h1.key_confirmation


def test_x5_the_hospital_verifies_d3_without_the_patients_name(federation):
    """Sig_D3 is verified at step 3, where ID_P is not there yet: it covers a commitment, which D4 opens."""
    asked, _, established = session(federation)
    assert b"P:wang" not in asked.opening.message
    intent = established.intent
    opened = record.commitment(Shown("P:wang", intent.shown.access), intent.scope, intent.blind)
    assert opened == asked.payload.patient_commitment
    connected, requested = federation.establish(federation.hospital_a, intent)
    _, frame = connected.query(now=federation.clock.now)
    other = reframed(
        requested.receiving, "d4", frame, altered(RecordQuery, lambda d4: setattr(d4, "patient_id", "P:lin"))
    )
    with rejected(CommitmentMismatch):
        requested.receive(other, federation.hospital_a.verifier(), now=federation.clock.now)


def test_x6_the_hospitals_reply_is_verified_with_its_public_key(federation):
    """Eq. 43 "verifies" with the private signing function; here PUK_HPC does, out of KS_HPC."""
    _, h1, established = session(federation)
    issuer = federation.cloud.keys.issuing.public_key
    statement = KeyStatement.FromString(federation.hospital_a.key_statement.statement)
    hospital = established.session.peer.party
    assert hospital.verifying_key == statement.verifying_key
    covered = record.reply_transcript(h1, issuer, established.session.transcript_hash)
    hospital.key.verify(h1.signature, covered)


def test_x7_the_question_is_proved_without_signing_the_secret(federation):
    """S_D can't leave the token, so eq. 26 can't sign it: an HMAC under K_D stands in its slot, and both sides derive it."""
    _, opening = federation.ask(federation.grant())
    query = d2(federation).open(opening)
    _, shared = federation.cloud.shared_keys["D:chen"]
    assert search.query_proof(shared, query) == query.proof


def test_x8_the_answer_is_proved_in_the_slot_of_the_undefined_secret(federation):
    """S_SD of eq. 30 is defined nowhere: the cloud's proof is an HMAC under K_D over this question's signature."""
    awaiting, opening = federation.ask(federation.grant())
    answer = c(federation).open(federation.cloud.answer(opening))
    expected = search.answer_proof(awaiting.shared_key, answer.sent_at, awaiting.query.signature)
    assert answer.proof == expected


def test_x9_an_index_row_is_a_record_with_every_name_in_it(federation):
    """ID_CHPC is undefined and the xor is of unequal lengths: a row holds department, handle and doctor, sealed."""
    place = Location("H:alpha/cardiology.ward", b"h" * 16, "D:chen")
    index = federation.cloud.index
    (name,) = index.names("P:wang", place)
    assert index.reveal(name.row_key, name.row_id, index.seal(name, place)) == place


def test_x10_each_use_has_a_key_of_its_own_that_is_certified(federation):
    """PUK_X and PRK_X are never generated or certified, and the cloud's are one: all are stated, and all differ."""
    cloud = federation.cloud
    keys = {cloud.keys.issuing.public_key, cloud.keys.signing_key.verifying_key.data}
    for member in (federation.patient, federation.doctor, federation.hospital_a):
        party = federation.party(member)
        statement = EncryptionKeyStatement.FromString(party.encryption_key_statement.statement)
        keys |= {party.self_.verifying_key, statement.encryption_key, party.self_.registration_point}
        assert KeyStatement.FromString(member.key_statement.statement).verifying_key == party.self_.verifying_key
    assert len(keys) == 2 + 3 * 3


def test_x11_a_first_record_is_found_because_it_was_published(federation):
    """The paper's index is written by a successful search alone, so that the first one never succeeds. A hospital
    publishes; the search finds it, and searching writes nothing.
    """
    grant = federation.grant(wide(rights=[RIGHT_INDEX]))
    assert federation.search(grant).locations == ()
    assert federation.cloud.rows == {}
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", b"h" * 16))
    before = {key: dict(rows) for key, rows in federation.cloud.rows.items()}
    (place,) = federation.search(grant).locations
    assert (place.hospital.identity, place.handle) == ("H:alpha", b"h" * 16)
    assert federation.cloud.rows == before


def test_x12_the_cloud_gets_the_place_of_an_encounter_and_never_its_content():
    """The text sends the diagnosis to the public cloud; here the hospital keeps it, and PUB has room for names alone."""
    fields = {field.name for field in publication_pb2.Publication.DESCRIPTOR.fields}
    names = {
        "action",
        "patient_id",
        "department_id",
        "hospital_id",
        "doctor_id",
        "handle",
        "sensitivity",
        "consent_digest",
    }
    assert fields == names | {"nonce", "sent_at", "signature"}


def test_x13_the_patient_knows_the_doctors_keys_before_its_first_message(federation):
    """Eq. 12 seals to PUK_D before ID_D is known: the code and the room say both, and P1 staples the patient's own keys."""
    room, _ = federation.room()
    _, opening = federation.open_consultation()
    statement = EncryptionKeyStatement.FromString(room.encryption_key_statement.statement)
    assert opening.key_id == statement.key_id
    p1 = p1_to(federation, federation.doctor).open(opening)
    assert p1.key_statement == federation.patient.key_statement


def test_x15_the_generator_has_prime_order():
    """The paper's P is "of composite order q": B has order n, n - 1 times B is -B, and every point is a multiple of B."""
    base = private_key((1).to_bytes(32, "big")).public_key().public_numbers()
    negated = private_key((ORDER - 1).to_bytes(32, "big")).public_key().public_numbers()
    assert (negated.x, negated.y) == (base.x, FIELD_PRIME - base.y)
    assert pow(2, ORDER - 1, ORDER) == 1
    point = x_of(scalar_from_seed(os.urandom(48)).public_key())
    assert require_point(point) == point
