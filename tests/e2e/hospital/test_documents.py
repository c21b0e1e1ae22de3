"""A patient's own documents at a hospital: kept once, marked as the patient's, or refused, and then nothing is kept."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from federation.clinical.fhir import validate_bundle
from federation.errors import DeputyPowers, Limit, NoSuchRecord, NotOwnRecord, Rejected, StaleMessage
from federation.party.member import Member
from federation.protocol.consent import make_mandate
from federation.protocol.documents import NewDocument, SignedDocument, document_transcript, sign_document
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import ACCESS_GROUND_OWN, ACCESS_KIND_ADD, Deputyship
from federation.v1.record_pb2 import DepositReceipt, OwnDocument
from federation.v1.statement_pb2 import POWER_ADD, POWER_READ, SENSITIVITY_SECRET
from keystore.signatures import VerifyingKey
from tests.attacks.test_erasure_attacks import erase
from tests.e2e.hospital.records import log_of, nothing_is_kept, parts_of
from tests.grants import wide
from tests.hospital_lab import Client, HospitalLab

TEXT = b"Nosebleeds since Monday.\nEach morning."
NOTE = NewDocument("Nasenbluten, März", "text/plain; charset=utf-8", TEXT)
OWN = Shown.by_own_right("P:wang")


def written(
    lab: HospitalLab,
    new: NewDocument = NOTE,
    *,
    author: Member | None = None,
    shown: Shown = OWN,
    hospital_id: str = "H:alpha",
    department_class: str = "cardiology",
) -> SignedDocument:
    federation = lab.federation
    party, blind = federation.party(author or federation.patient), federation.entropy(32)
    return sign_document(party, new, shown, hospital_id, department_class, blind, now=federation.clock.now)


def add(client: Client, document: SignedDocument, asker: Member | None = None) -> DepositReceipt:
    """D3, H1, OWN, STOACK: the receipt."""
    federation, message = client.federation, document.message
    intent = Intent(Shown.of(message), message.scope, message.blind)
    with client.session() as session:
        awaiting, frames = client.establish(session, intent, asker or federation.patient).add(document)
        for frame in frames:
            session.send(frame=frame)
        return awaiting.receive(session.receive().frame, now=federation.clock.now)[0]


def changed(document: SignedDocument, change: Callable[[OwnDocument], object]) -> SignedDocument:
    message = OwnDocument()
    message.CopyFrom(document.message)
    change(message)
    return SignedDocument(message, document.content)


def mandate(lab: HospitalLab, *powers: int) -> Shown:
    federation = lab.federation
    party = federation.party(federation.patient)
    deputy_id, life = federation.other_patient.identity, timedelta(days=1)
    signed = make_mandate(party, deputy_id, powers, life, now=federation.clock.now, entropy=federation.entropy)
    return Shown.by_own_right("P:wang", Deputyship(mandate=signed, key_statement=federation.patient.key_statement))


def test_a_note_is_read_by_a_doctor_as_the_patients(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    receipt = add(client, written(lab))
    manifest, parts = parts_of(client.read(federation.intent(federation.grant(), handles=(receipt.handle,)))[0])
    (entry,) = manifest.records
    assert entry.department_id == "H:alpha/cardiology"
    named = [(part.name, part.media_type) for part in entry.parts]
    assert named == [
        ("document.json", "application/fhir+json"),
        (named[1][0], NOTE.media_type),
        ("evidence.json", "application/json"),
    ]
    summary = validate_bundle(parts[0])
    assert summary.own == ("written by the patient: Nasenbluten, März",)
    assert summary.warnings("P:wang") == []
    assert parts[1] == TEXT
    evidence = json.loads(parts[2])
    key = VerifyingKey(federation.party(federation.patient).signing_key.verifying_key.data)
    key.verify(base64.b64decode(evidence["signature"]), base64.b64decode(evidence["signed"]))
    assert lab.outbox.publish_due() == 1
    assert [p.doctor_id for p in lab.published] == [""]


def test_adding_is_in_the_log_that_the_patient_reads(lab: HospitalLab, client: Client) -> None:
    add(client, written(lab))
    (entry,) = log_of(lab, client, lab.federation.patient)
    assert (entry.kind, entry.asker_id, entry.ground) == (ACCESS_KIND_ADD, "P:wang", ACCESS_GROUND_OWN)
    assert (entry.reason, entry.department_class) == ("OK", "cardiology")


def test_the_same_document_again_is_one_record(lab: HospitalLab, client: Client) -> None:
    document = written(lab)
    first = add(client, document)
    lab.federation.clock.advance(timedelta(minutes=10))  # even when its T is long stale
    assert add(client, document) == first
    again = add(client, document.sent_anew(now=lab.federation.clock.now))
    assert (again.handle, again.version) == (first.handle, first.version)
    assert len(list(lab.hospital.stores.records.all())) == 1
    assert lab.hospital.stores.outbox.size() == 1
    assert add(client, written(lab)).handle != first.handle


def test_a_document_played_again_does_not_bring_an_erased_record_back(lab: HospitalLab, client: Client) -> None:
    document = written(lab)
    receipt = add(client, document)
    erase(lab, receipt.handle)
    assert add(client, document) == receipt
    assert list(lab.hospital.stores.records.all()) == lab.blobs == []


def test_a_secret_document_is_the_patients_alone(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    new = NewDocument("Mine", "text/plain", TEXT, SENSITIVITY_SECRET)
    handle = add(client, written(lab, new)).handle
    with pytest.raises(NoSuchRecord):
        client.read(federation.intent(federation.grant(wide()), handles=(handle,)))
    own = Intent(OWN, federation.intent(federation.grant(), handles=(handle,)).scope, federation.entropy(32))
    _, parts = parts_of(client.read(own, doctor=federation.patient)[0])
    assert validate_bundle(parts[0]).sensitivity == "secret"


def test_a_deputy_adds_with_the_power_alone_and_is_named_as_author(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    deputy = federation.other_patient
    with pytest.raises(DeputyPowers):
        add(client, written(lab, author=deputy, shown=mandate(lab, POWER_READ)), deputy)
    assert nothing_is_kept(lab)
    handle = add(client, written(lab, author=deputy, shown=mandate(lab, POWER_ADD)), deputy).handle
    _, parts = parts_of(client.read(federation.intent(federation.grant(), handles=(handle,)))[0])
    summary = validate_bundle(parts[0])
    assert summary.own == (f"written by {deputy.identity} in the patient's name: Nasenbluten, März",)
    assert summary.warnings("P:wang") == []
    assert "mandate" in json.loads(parts[2])["deputyship"]


def test_another_patient_adds_nothing_not_own_record(lab: HospitalLab, client: Client) -> None:
    other = lab.federation.other_patient
    with pytest.raises(NotOwnRecord):
        add(client, written(lab, author=other), other)
    assert nothing_is_kept(lab)


def test_a_doctor_who_sends_one_is_rejected(lab: HospitalLab, client: Client) -> None:
    """A doctor's slices are those of STO: what is sealed by another name does not open."""
    with pytest.raises(Rejected):
        add(client, written(lab), lab.federation.doctor)
    assert nothing_is_kept(lab)
    assert lab.reasons[-1] == "SEAL_INVALID"


def test_a_document_of_another_who_signed_is_rejected_identity_mismatch(lab: HospitalLab, client: Client) -> None:
    with pytest.raises(Rejected):
        add(client, written(lab), lab.federation.other_patient)
    assert lab.reasons[-1] == "IDENTITY_MISMATCH"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda own: setattr(own, "signature", bytes(64)), "SIGNATURE_INVALID"),
        (lambda own: setattr(own, "title", b"Another"), "SIGNATURE_INVALID"),
        (lambda own: setattr(own, "content_digest", bytes(32)), "RECORD_DIGEST_MISMATCH"),
        (lambda own: setattr(own, "size_bytes", 17 * 1024 * 1024), "LIMIT_REACHED"),
        (lambda own: setattr(own.scope, "purpose", 2), "FIELD_INVALID"),
        (lambda own: setattr(own.scope, "department_class", "*"), "FIELD_INVALID"),
    ],
    ids=["signature", "title", "digest", "size", "purpose", "any class"],
)
def test_a_document_that_is_not_what_was_signed_is_rejected(
    lab: HospitalLab, client: Client, change: Callable[[OwnDocument], object], reason: str
) -> None:
    with pytest.raises(Rejected):
        add(client, changed(written(lab), change))
    assert nothing_is_kept(lab)
    assert lab.reasons[-1] == reason


def test_a_document_signed_for_another_hospital_is_rejected_signature_invalid(lab: HospitalLab, client: Client) -> None:
    with pytest.raises(Rejected):
        add(client, written(lab, hospital_id="H:beta"))
    assert lab.reasons[-1] == "SIGNATURE_INVALID"


def test_a_document_for_a_class_without_a_department_is_rejected_department_foreign(
    lab: HospitalLab, client: Client
) -> None:
    with pytest.raises(Rejected):
        add(client, written(lab, department_class="psychiatry"))
    assert nothing_is_kept(lab)
    assert lab.reasons[-1] == "DEPARTMENT_FOREIGN"


def test_limit_reached_for_a_patient_with_as_many_records_as_it_may_add_to(
    lab: HospitalLab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.hospital.documents.MOST_RECORDS", 2)
    lab.import_files()
    document = written(lab)
    first = add(client, document)
    with pytest.raises(Limit):
        add(client, written(lab))
    assert add(client, document) == first
    assert len(list(lab.hospital.stores.records.all())) == 2


def test_a_stale_document_is_refused_and_sent_anew_is_kept(lab: HospitalLab, client: Client) -> None:
    document = written(lab)
    lab.federation.clock.advance(timedelta(minutes=10))
    with pytest.raises(StaleMessage):
        add(client, document)
    assert nothing_is_kept(lab)
    add(client, document.sent_anew(now=lab.federation.clock.now))


def resigned(lab: HospitalLab, change: Callable[[OwnDocument], object]) -> SignedDocument:
    """A document that its author changed, and signed as it is then."""
    document = changed(written(lab), change)
    own = document.message
    own.signature = lab.federation.patient.keys.signing_key.sign(document_transcript(own, "H:alpha"))
    return document


def test_a_title_that_repaints_a_terminal_does_not(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    new = NewDocument("\x1b[2J\u202eMine\u2028Yours", "text/plain", TEXT)
    handle = add(client, written(lab, new)).handle
    _, parts = parts_of(client.read(federation.intent(federation.grant(), handles=(handle,)))[0])
    assert validate_bundle(parts[0]).own == ("written by the patient: [2J Mine Yours",)


@pytest.mark.parametrize(
    "change",
    [
        lambda own: setattr(own, "title", b"\xff"),
        lambda own: setattr(own, "media_type", " text "),
    ],
    ids=["no UTF-8", "no media type"],
)
def test_what_makes_no_valid_reference_is_rejected(
    lab: HospitalLab, client: Client, change: Callable[[OwnDocument], object]
) -> None:
    with pytest.raises(Rejected):
        add(client, resigned(lab, change))
    assert nothing_is_kept(lab)
