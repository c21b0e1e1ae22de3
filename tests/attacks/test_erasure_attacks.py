"""Attacks on erasure and withdrawal: by another hospital, by replay, by asking for what is gone, by a deposit played again."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from federation.clock import system_entropy
from federation.errors import NoSuchRecord
from federation.hospital import records_administration
from federation.hospital.records_administration import OperatorAction
from federation.party.channels import call
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.protocol.calls import PUBLISH
from federation.protocol.verifier import EncryptionKey
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, PUBLICATION_ACTION_WITHDRAW, PublishRequest
from federation.v1.publication_pb2_grpc import PublicationServiceStub
from keystore.transcript import digest
from tests.e2e.cloud_lab import CloudLab, publication_of, question_of
from tests.hospital_lab import Client, HospitalLab, ecg, encounter_of, report

ACT = OperatorAction("ann", "as the law says")
Hospital = tuple[Member, CloudClient]


@pytest.fixture(scope="module")
def north(cloud: CloudLab) -> Hospital:
    return cloud.hospital("H:north")


@pytest.fixture(scope="module")
def south(cloud: CloudLab) -> Hospital:
    return cloud.hospital("H:south")


def erase(lab: HospitalLab, handle: bytes) -> None:
    records_administration.keep_until(lab.hospital, handle, lab.federation.clock.now - 1, ACT)
    assert records_administration.erase(lab.hospital, handle, ACT)


def refusal(lab: HospitalLab, client: Client, handle: bytes) -> tuple[int, str]:
    """Ask for a record that is not given; how large the answer is, and what the log says of it."""
    federation = lab.federation
    with client.session() as session:
        established = client.establish(session, federation.intent(federation.grant(), handles=(handle,)))
        state, frame = established.query(now=federation.clock.now)
        session.send(frame=frame)
        answer = session.receive().frame
        with pytest.raises(NoSuchRecord):
            state.receive(answer, federation.doctor.verifier(), now=federation.clock.now)
    return len(answer.sealed), lab.reasons[-1]


def test_record_erased_withdrawn_and_unknown_are_one_answer_and_three_entries_of_the_log(lab: HospitalLab) -> None:
    """A doctor with a grant learns from the answer whether a record was erased, was withdrawn, or never was."""
    gone, hidden = lab.import_files(), lab.import_files()
    erase(lab, gone)
    records_administration.withdraw(lab.hospital, hidden, ACT)
    with lab.serving() as client:
        answers = [refusal(lab, client, handle) for handle in (gone, hidden, b"x" * 16)]
    assert len({size for size, _ in answers}) == 1
    assert [reason for _, reason in answers] == ["RECORD_ERASED", "RECORD_WITHDRAWN", "NO_SUCH_RECORD"]


def test_deposit_played_again_does_not_bring_an_erased_record_back(lab: HospitalLab) -> None:
    """The doctor's workstation sends the deposit of an erased encounter once more, as it does when an answer was lost."""
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    with lab.serving() as client:
        receipt, signed = client.deposit(encounter)
        erase(lab, receipt.handle)
        federation.clock.advance(timedelta(minutes=10))
        assert client.deposit(encounter)[1] == signed
    assert list(lab.hospital.stores.records.all()) == lab.blobs == []


def test_log_of_an_erasure_can_be_neither_changed_nor_removed(lab: HospitalLab) -> None:
    """An operator who erased too much takes the entry out of the log."""
    erase(lab, lab.import_files())
    count = lab.hospital.audit.verify()
    for statement in ("DELETE FROM log", "UPDATE log SET at = 0"):
        with pytest.raises(Exception, match="append-only"), lab.database.engine.begin() as connection:
            connection.exec_driver_sql(statement)
    assert lab.hospital.audit.verify() == count


def found(cloud: CloudLab, hospital: Hospital, patient_id: str) -> Callable[[], list[bytes]]:
    """Register a patient and a doctor; give the search for the patient's records."""
    patient, doctor = cloud.patient(patient_id, hospital), cloud.doctor(patient_id.replace("P:", "D:"))
    grant = cloud.grant(patient, doctor)

    def search() -> list[bytes]:
        answer = cloud.client().search(doctor, question_of(patient, grant))
        return [place.handle for place in answer.locations]

    return search


def test_another_hospital_withdraws_nothing_department_foreign(
    cloud: CloudLab, north: Hospital, south: Hospital
) -> None:
    """A hospital that knows patient and handle withdraws another's record: in its own name, in the other's, in both."""
    search = found(cloud, north, "P:other")
    row = cloud.publish(north, "P:other", "cardiology")
    own = publication_of("H:south", "P:other", "H:south/cardiology")
    foreign = publication_of("H:south", "P:other", "H:north/cardiology")
    posed = publication_of("H:north", "P:other", "H:north/cardiology")
    for publication in (own, foreign, posed):
        publication.handle, publication.action = row.handle, PUBLICATION_ACTION_WITHDRAW
    south[1].publish(south[0], own)
    with cloud.rejected_for("DEPARTMENT_FOREIGN"):
        south[1].publish(south[0], foreign)
    with cloud.rejected_for("SIGNATURE_INVALID"):
        south[1].publish(south[0], posed)
    assert search() == [row.handle]


def test_withdrawal_played_again_is_refused_message_replayed(cloud: CloudLab, north: Hospital) -> None:
    """A record is withdrawn, and reinstated; whoever kept the withdrawal sends it once more."""
    member, client = north
    search = found(cloud, north, "P:again")
    row = cloud.publish(north, "P:again", "cardiology")
    row.action, row.nonce = PUBLICATION_ACTION_WITHDRAW, system_entropy(16)
    opening, _ = PUBLISH.send(row, member.keys.signing_key, cloud_key(client, member), now=client.clock())
    stub = PublicationServiceStub(client._peer_channel())
    call(stub.Publish, PublishRequest(opening=opening))
    assert search() == []
    row.action = PUBLICATION_ACTION_ADD
    client.publish(member, row)
    with cloud.rejected_for("MESSAGE_REPLAYED"):
        call(stub.Publish, PublishRequest(opening=opening))
    assert search() == [row.handle]


def test_withdrawal_altered_to_another_record_is_refused_signature_invalid(cloud: CloudLab, north: Hospital) -> None:
    """Somebody at the cloud's border opens nothing, but a hospital's own workstation changes the handle after signing."""
    member, client = north
    row = publication_of("H:north", "P:bound", "H:north/cardiology")
    row.action = PUBLICATION_ACTION_WITHDRAW
    key = cloud_key(client, member)

    class Signer:
        def sign(self, data: bytes) -> bytes:
            signature = member.keys.signing_key.sign(data)
            row.handle = digest(row.handle)[:16]
            return signature

    opening, _ = PUBLISH.send(row, Signer(), key, now=client.clock())
    with cloud.rejected_for("SIGNATURE_INVALID"):
        call(PublicationServiceStub(client._peer_channel()).Publish, PublishRequest(opening=opening))


def test_withdrawal_from_a_class_that_is_not_published_any_more_is_taken(cloud: CloudLab, north: Hospital) -> None:
    """Otherwise the rows of a class that the federation gave up could never be taken out."""
    row = publication_of("H:north", "P:late", "H:north/alchemy")
    row.action = PUBLICATION_ACTION_WITHDRAW
    north[1].publish(north[0], row)


def cloud_key(client: CloudClient, member: Member) -> EncryptionKey:
    """Give the cloud's encryption key as the hospital knows it."""
    client.refresh(member)
    return client.cloud_key(member)
