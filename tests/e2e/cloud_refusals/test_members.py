"""What the cloud refuses its members: publications, tickets, TLS identities, keys, and taking back another's grant."""

import pytest

from federation import errors
from federation.clock import system_entropy
from federation.cloud import index_rows
from federation.cloud.revocation import revoke
from federation.party.channels import call
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.protocol.calls import PUBLISH, RENEW, REVOKE
from federation.protocol.index import Location
from federation.protocol.parsing import LAST_TIME
from federation.protocol.statements import sign_statement
from federation.v1.membership_pb2 import EncryptionKeyRenewal, IssueTicketRequest, PutEncryptionKeyRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.v1.publication_pb2 import PublishRequest
from federation.v1.publication_pb2_grpc import PublicationServiceStub
from federation.v1.revocation_pb2 import STATEMENT_KIND_GRANT, Revocation, RevokedStatement, RevokeRequest
from federation.v1.statement_pb2 import EncryptionKeyStatement, Grant
from federation.wire.limits import RateBound
from keystore.x509 import request_certificate
from tests.e2e.cloud_lab import CloudLab, publication_of
from tests.e2e.cloud_refusals.query import cloud_key
from tests.mallory import rejected


def test_foreign_department_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    with lab.rejected_for("DEPARTMENT_FOREIGN"):
        hospital[1].publish(hospital[0], publication_of("H:good", "P:good", "H:other/cardiology"))


def test_department_of_an_unpublished_class_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    with lab.rejected_for("FIELD_INVALID"):
        hospital[1].publish(hospital[0], publication_of("H:good", "P:good", "H:good/alchemy"))


def test_limit_reached_for_more_rows_of_a_patient_than_a_hospital_may_have(
    lab: CloudLab, hospital: tuple[Member, CloudClient], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(lab.node.cloud.most_rows_per_patient):
        index_rows.put_row(lab.node.cloud, "P:buried", Location("H:good/cardiology", number.to_bytes(16, "big")))
    with pytest.raises(errors.Limit):
        hospital[1].publish(hospital[0], publication_of("H:good", "P:buried", "H:good/oncology"))
    *_, told = (entry.event for entry in lab.node.cloud.audit.entries())
    assert (told.kind, told.reason) == ("PUBLICATION", "LIMIT_REACHED")
    assert "P:buried H:good/oncology" in told.detail
    assert "patient-rows-full" in caplog.messages
    lab.publish(hospital, "P:other", "oncology")


def test_replayed_publication_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    member, client = hospital
    publication = publication_of("H:good", "P:good", "H:good/cardiology")
    key = cloud_key(client, member)
    opening, _ = PUBLISH.send(publication, member.keys.signing_key, key, now=client.clock())
    stub = PublicationServiceStub(client._peer_channel())
    call(stub.Publish, PublishRequest(opening=opening))
    with lab.rejected_for("MESSAGE_REPLAYED"):
        call(stub.Publish, PublishRequest(opening=opening))


@pytest.mark.parametrize("kind", ["publication", "renewal"])
def test_message_whose_change_was_lost_with_the_database_is_taken_when_it_comes_again(
    lab: CloudLab, hospital: tuple[Member, CloudClient], kind: str
) -> None:
    """Its replay key was kept and what it asks for was not: so it was refused as MESSAGE_REPLAYED once the database was back."""
    member, client = hospital
    key, now = cloud_key(client, member), client.clock()
    payload, table = {
        "publication": (publication_of("H:good", "P:lost", "H:good/cardiology"), "index_rows"),
        "renewal": (EncryptionKeyRenewal(encryption_key_statement=member.epochs.current(now)), "registrations"),
    }[kind]
    call_of = PUBLISH if kind == "publication" else RENEW
    opening, _ = call_of.send(payload, member.signing_key, key, now=now)

    def send() -> object:
        if kind == "publication":
            stub = PublicationServiceStub(client._peer_channel())
            return call(stub.Publish, PublishRequest(opening=opening))
        members = MembershipServiceStub(client._channel)
        return call(members.PutEncryptionKey, PutEncryptionKeyRequest(opening=opening))

    act = "INSERT" if kind == "publication" else "UPDATE"
    lost = f"CREATE TRIGGER lost BEFORE {act} ON {table} BEGIN SELECT RAISE(ABORT, 'lost'); END"
    database = lab.node.database
    database.write(lambda connection: connection.exec_driver_sql(lost))
    before = len(list(lab.node.cloud.audit.entries()))
    with pytest.raises(errors.Unavailable):
        send()
    database.write(lambda connection: connection.exec_driver_sql("DROP TRIGGER lost"))
    assert send()
    with lab.rejected_for("MESSAGE_REPLAYED"):
        send()
    told = [(it.event.kind, it.event.reason) for it in lab.node.cloud.audit.entries()][before:]
    assert [(name, reason) for name, reason in told if name != "REFUSAL"] == [(kind.upper(), "OK")]


def test_publication_on_another_hospitals_connection_is_refused(
    lab: CloudLab, hospital: tuple[Member, CloudClient]
) -> None:
    member, client = hospital
    _, other = lab.hospital("H:elsewhere")
    publication = publication_of("H:good", "P:good", "H:good/cardiology")
    opening, _ = PUBLISH.send(publication, member.keys.signing_key, cloud_key(client, member), now=client.clock())
    with lab.rejected_for("IDENTITY_MISMATCH"):
        call(PublicationServiceStub(other._peer_channel()).Publish, PublishRequest(opening=opening))


def test_publication_signed_by_another_hospital_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    member, client = lab.hospital("H:forger")
    publication = publication_of("H:good", "P:good", "H:good/cardiology")
    with lab.rejected_for("SIGNATURE_INVALID"):
        client.publish(member, publication)


def test_publication_on_the_public_port_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    with lab.refused_in_clear(errors.MethodNotServed):
        call(PublicationServiceStub(lab.client()._channel).Publish, PublishRequest())


def test_ticket_without_a_client_certificate_is_refused(lab: CloudLab) -> None:
    with lab.refused_in_clear(errors.RoleForbidden):
        call(MembershipServiceStub(lab.client()._channel).IssueTicket, IssueTicketRequest())


def test_ticket_on_another_hospitals_connection_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    _, other = lab.hospital("H:beside")
    with lab.rejected_for("IDENTITY_MISMATCH"):
        other.issue_ticket(hospital[0], "P:anybody")


def test_ticket_by_an_unregistered_hospital_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    stranger = lab.member("H:stranger")
    with lab.rejected_for("NOT_REGISTERED"):
        hospital[1].issue_ticket(stranger, "P:anybody")


def test_tls_identity_of_another_hospital_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    member, client = hospital
    request = request_certificate(member.keys.signing_key.x509, "H:somebody-else")
    with lab.rejected_for("CERTIFICATE_REJECTED"):
        client.certify_tls_identity(member, request)


def test_address_of_a_doctor_is_refused(lab: CloudLab, doctor: Member) -> None:
    with lab.rejected_for("FIELD_INVALID"):
        lab.client().renew(doctor, "127.0.0.1:1")


def test_encryption_key_of_another_party_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    client = lab.client()
    key = cloud_key(client, doctor)
    payload = EncryptionKeyRenewal(encryption_key_statement=patient.epochs.current(client.clock()))
    opening, _ = RENEW.send(payload, doctor.keys.signing_key, key, now=client.clock())
    with lab.rejected_for("SIGNATURE_INVALID"):
        call(MembershipServiceStub(client._channel).PutEncryptionKey, PutEncryptionKeyRequest(opening=opening))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"identity": "D:somebody-else"}, "NOT_REGISTERED"),
        ({"not_before": LAST_TIME}, "CREDENTIAL_EXPIRED"),
        ({"not_after": 1}, "CREDENTIAL_EXPIRED"),
    ],
    ids=["another's name", "not yet", "no more"],
)
def test_encryption_key_that_its_owner_signed_wrong_is_refused(
    lab: CloudLab, doctor: Member, changed: dict[str, object], reason: str
) -> None:
    client = lab.client()
    key, now = cloud_key(client, doctor), client.clock()
    statement = EncryptionKeyStatement.FromString(doctor.epochs.current(now).statement)
    for name, value in changed.items():
        setattr(statement, name, value)
    payload = EncryptionKeyRenewal(encryption_key_statement=sign_statement("ek", statement, doctor.signing_key))
    opening, _ = RENEW.send(payload, doctor.signing_key, key, now=now)
    with lab.rejected_for(reason):
        call(MembershipServiceStub(client._channel).PutEncryptionKey, PutEncryptionKeyRequest(opening=opening))


def test_grant_of_another_patient_cannot_be_revoked(
    lab: CloudLab, hospital: tuple[Member, CloudClient], doctor: Member, patient: Member
) -> None:
    meddler = lab.patient("P:meddler", hospital)
    with lab.rejected_for("GRANT_INVALID"):
        lab.client().revoke(meddler, [("grant", lab.grant(patient, doctor))])


def test_grant_of_an_earlier_registration_is_taken_back_by_the_one_of_now(
    lab: CloudLab, hospital: tuple[Member, CloudClient], doctor: Member
) -> None:
    member = lab.patient("P:earlier", hospital)
    grant = lab.grant(member, doctor)
    lab.node.revoke("P:earlier")
    lab.node.cloud.publisher.refresh(lab.node.cloud.clock())
    fresh = lab.patient("P:earlier", hospital)
    lists = lab.client().revoke(fresh, [("grant", grant)])
    assert lists.is_revoked("grant", "P:earlier", Grant.FromString(grant.statement).grant_id)


def test_revoked_credential_takes_no_grant_back(
    lab: CloudLab, hospital: tuple[Member, CloudClient], doctor: Member
) -> None:
    member = lab.patient("P:stolen", hospital)
    grant = lab.grant(member, doctor)
    lab.node.revoke("P:stolen")
    lab.node.cloud.publisher.refresh(lab.node.cloud.clock())
    with lab.rejected_for("CREDENTIAL_REVOKED"):
        lab.client().revoke(member, [("grant", grant)])


def test_limit_reached_for_more_grants_taken_back_than_a_patient_may(
    lab: CloudLab, hospital: tuple[Member, CloudClient], doctor: Member
) -> None:
    """The list is for everybody, and one patient could fill it."""
    patient, rate = lab.patient("P:fickle", hospital), RateBound(0, 3)
    key = cloud_key(lab.client(), patient)

    def take_back(grants: int) -> None:
        payload = Revocation(
            owner_id="P:fickle",
            statements=[
                RevokedStatement(kind=STATEMENT_KIND_GRANT, statement=lab.grant(patient, doctor)) for _ in range(grants)
            ],
            key_statement=patient.key_statement,
            nonce=system_entropy(16),
        )
        opening, _ = REVOKE.send(payload, patient.signing_key, key, now=lab.node.cloud.clock())
        revoke(lab.node.cloud, RevokeRequest(opening=opening), rate)

    take_back(2)
    with rejected(errors.Limit):
        take_back(2)
    take_back(1)
    with rejected(errors.Limit):
        take_back(1)


def test_limit_reached_for_a_grant_taken_back_where_the_list_is_full(
    lab: CloudLab, doctor: Member, patient: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, more = lab.grant(patient, doctor), lab.grant(patient, doctor)
    lab.client().revoke(patient, [("grant", taken)])
    monkeypatch.setitem(vars(lab.node.cloud), "most_revocations", 0)
    with pytest.raises(errors.Limit) as refused:
        lab.client().revoke(patient, [("grant", more)])
    assert "the revocation list is full" in "".join(refused.value.__notes__)
    lab.client().revoke(patient, [("grant", taken)])


def test_limit_reached_for_everything_taken_back_where_the_list_is_full(
    lab: CloudLab, patient: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(lab.node.cloud), "most_revocations", 0)
    client = lab.client()
    with pytest.raises(errors.Limit):
        client.revoke(patient, [], before=client.clock())
