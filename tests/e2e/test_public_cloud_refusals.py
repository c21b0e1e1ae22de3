"""What the public cloud refuses, over the wire: REJECTED there where the protocol says so, the reason in its audit log."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest

from federation import errors
from federation.clients.calls import call
from federation.clients.cloud import CloudClient
from federation.clients.registration import register
from federation.clock import system_clock, system_entropy
from federation.errors import FederationError, Limit
from federation.member import Member
from federation.protocol import search as protocol
from federation.protocol.calls import PUBLISH, RENEW
from federation.protocol.grant import Terms
from federation.protocol.registration import AwaitingCredential
from federation.protocol.search import Question
from federation.protocol.verifier import EncryptionKey
from federation.services.cloud.membership import new_ticket
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.membership_pb2 import EncryptionKeyRenewal, IssueTicketRequest, PutEncryptionKeyRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.v1.publication_pb2 import PublishRequest
from federation.v1.publication_pb2_grpc import PublicationServiceStub
from federation.v1.search_pb2 import SearchRequest
from federation.v1.search_pb2_grpc import SearchServiceStub
from federation.v1.statement_pb2 import RIGHT_READ, ROLE_DOCTOR, ROLE_HOSPITAL, ROLE_PATIENT, SignedStatement
from federation.wire.refusal import REJECTION_FLOOR, REQUEST_ID
from hsm import Pin, TokenUri, pin_from_value
from keystore.x509 import request_certificate
from tests.e2e.cloud_lab import CloudLab, cloud_lab, foreign_certificate, publication_of


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, make_token_uri: Callable[..., TokenUri], user_pin: Pin
) -> Iterator[CloudLab]:
    """Give a served cloud."""
    with cloud_lab(tmp_path_factory.mktemp("lab"), make_token_uri, pin_from_value(user_pin.reveal())) as made:
        yield made


@pytest.fixture(scope="module")
def hospital(lab: CloudLab) -> tuple[Member, CloudClient]:
    """Give a registered hospital."""
    return lab.hospital("H:good")


@pytest.fixture(scope="module")
def doctor(lab: CloudLab) -> Member:
    """Give a registered doctor."""
    return lab.doctor("D:good")


@pytest.fixture(scope="module")
def patient(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> Member:
    """Give a registered patient."""
    return lab.patient("P:good", hospital)


def _shifted(delta: timedelta) -> Callable[[], int]:
    return lambda: system_clock() + delta // timedelta(milliseconds=1)


def _cloud_key(client: CloudClient, member: Member) -> EncryptionKey:
    client.refresh(member)
    return client.cloud_key(member)


def _apply(lab: CloudLab, member: Member, challenge: bytes, ticket: bytes) -> tuple[AwaitingCredential, SealedOpening]:
    """Make reg1 of a hospital over a challenge of the caller's choice."""
    client = lab.client()
    key = _cloud_key(client, member)
    now = client.clock()
    return member.applicant(ROLE_HOSPITAL, b"licence", ticket, now=now).apply(challenge, key, now=now)


class TestRegistration:
    """Registration, in the order of its checks."""

    def test_stale_registration_is_refused(self, lab: CloudLab) -> None:
        late = lab.client(clock=_shifted(timedelta(seconds=-40)))
        with lab.refused_in_clear(errors.StaleMessage):
            register(lab.member("H:stale"), late, ROLE_HOSPITAL, b"licence", system_entropy(16))

    def test_future_dated_registration_is_refused(self, lab: CloudLab) -> None:
        early = lab.client(clock=_shifted(timedelta(seconds=20)))
        with lab.refused_in_clear(errors.FutureDated):
            register(lab.member("H:future"), early, ROLE_HOSPITAL, b"licence", system_entropy(16))

    def test_challenge_used_twice_is_refused(self, lab: CloudLab) -> None:
        client, member = lab.client(), lab.member("H:challenge")
        challenge = client.open_registration().challenge
        _, first = _apply(lab, member, challenge, system_entropy(16))
        _, second = _apply(lab, member, challenge, lab.node.invite("H:challenge")[0])
        with lab.rejected_for("TICKET_INVALID"):
            client.send_registration(first)
        with lab.rejected_for("CHALLENGE_INVALID"):
            client.send_registration(second)

    def test_challenge_that_nobody_gave_is_refused(self, lab: CloudLab) -> None:
        _, opening = _apply(lab, lab.member("H:made-up"), system_entropy(16), lab.node.invite("H:made-up")[0])
        with lab.rejected_for("CHALLENGE_INVALID"):
            lab.client().send_registration(opening)

    def test_challenge_too_old_is_refused(self, lab: CloudLab) -> None:
        challenge, now = system_entropy(16), system_clock()
        lab.node.cloud.stores.registrations.put_challenge(challenge, now=now, expires_at=now - 1)
        _, opening = _apply(lab, lab.member("H:old"), challenge, lab.node.invite("H:old")[0])
        with lab.rejected_for("CHALLENGE_INVALID"):
            lab.client().send_registration(opening)

    def test_ticket_used_twice_is_refused(self, lab: CloudLab) -> None:
        ticket, _ = lab.node.invite("H:ticket")
        register(lab.member("H:ticket"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)
        lab.node.revoke("H:ticket")
        with lab.rejected_for("TICKET_INVALID"):
            register(lab.member("H:ticket"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)

    def test_ticket_for_another_identity_is_refused(self, lab: CloudLab) -> None:
        with lab.rejected_for("TICKET_INVALID"):
            register(lab.member("H:thief"), lab.client(), ROLE_HOSPITAL, b"licence", lab.node.invite("H:invited")[0])

    def test_ticket_for_another_role_is_refused(self, lab: CloudLab) -> None:
        with lab.rejected_for("TICKET_INVALID"):
            register(lab.member("P:role"), lab.client(), ROLE_PATIENT, bytes(32), lab.node.invite("H:role")[0])

    def test_expired_ticket_is_refused(self, lab: CloudLab) -> None:
        cloud = replace(lab.node.cloud, ticket_life=timedelta(seconds=-1))
        ticket, _ = new_ticket(cloud, "hospital", "H:late", "operator", now=cloud.clock())
        with lab.rejected_for("TICKET_INVALID"):
            register(lab.member("H:late"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)

    def test_no_ticket_is_refused(self, lab: CloudLab) -> None:
        with lab.rejected_for("TICKET_INVALID"):
            register(lab.member("P:none"), lab.client(), ROLE_PATIENT, bytes(32), None)

    def test_illegal_certificate_is_refused(self, lab: CloudLab, make_token_uri: Callable[..., TokenUri]) -> None:
        member = lab.member("D:quack")
        certificate = foreign_certificate(lab, member, make_token_uri)
        with lab.rejected_for("CERTIFICATE_ILLEGAL"):
            register(member, lab.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)

    def test_foreign_certificate_is_refused(self, lab: CloudLab, doctor: Member) -> None:
        with lab.rejected_for("CERTIFICATE_FOREIGN"):
            register(lab.member("D:impostor"), lab.client(), ROLE_DOCTOR, doctor.certificate, None)

    def test_revoked_certificate_is_refused(self, lab: CloudLab) -> None:
        member = lab.member("D:revoked")
        certificate = lab.certificate(member)
        lab.authority.revoke("D:revoked")
        lab.node.put_crl(lab.authority.crl())
        lab.node.cloud.bulletin.refresh(lab.node.cloud.clock())
        with lab.rejected_for("CERTIFICATE_REVOKED"):
            register(member, lab.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)

    def test_identity_that_is_registered_already_is_refused(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient]
    ) -> None:
        ticket, _ = lab.node.invite("H:good")
        with lab.rejected_for("ALREADY_REGISTERED"):
            register(lab.member("H:good"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)
        assert lab.node.cloud.live("H:good", now=system_clock()) is not None

    def test_registration_that_was_refused_keeps_nothing(self, lab: CloudLab) -> None:
        member = lab.member("H:nothing")
        with lab.rejected_for("TICKET_INVALID"):
            register(member, lab.client(), ROLE_HOSPITAL, b"licence", system_entropy(16))
        assert lab.node.cloud.live("H:nothing", now=system_clock()) is None
        assert "H:nothing" not in {identity for _, _, identity, _ in lab.node.cloud.stores.registrations.issued()}
        assert not member.is_registered


class _Query:
    """A query that a test may alter and send by hand."""

    def __init__(self, lab: CloudLab, doctor: Member, patient: Member, grant: SignedStatement | None) -> None:
        self.client = lab.client()
        key = _cloud_key(self.client, doctor)
        now = self.client.clock()
        party, verifier = doctor.party(now), doctor.verifier()
        self.awaiting, self.opening = protocol.ask(
            party,
            Question(patient.identity),
            grant,
            patient.key_statement,
            key,
            verifier,
            now=now,
            entropy=system_entropy,
        )

    def send(self) -> None:
        """Send it."""
        call(SearchServiceStub(self.client._channel).Search, SearchRequest(opening=self.opening))


class TestClearFields:
    """What clear fields decide is said precisely."""

    def test_unsupported_version_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.opening.version = 2
        with lab.refused_in_clear(errors.UnsupportedVersion):
            query.send()

    def test_unknown_key_id_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.opening.key_id = bytes(16)
        with lab.refused_in_clear(errors.UnknownKeyId):
            query.send()

    @pytest.mark.parametrize(
        ("delta", "kind"), [(-31_000, errors.StaleMessage), (6_000, errors.FutureDated)], ids=["stale", "future-dated"]
    )
    def test_query_of_another_time_is_refused(
        self, lab: CloudLab, doctor: Member, patient: Member, delta: int, kind: type[FederationError]
    ) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.opening.sent_at += delta
        with lab.refused_in_clear(kind):
            query.send()

    def test_missing_field_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.opening.ClearField("key_id")
        with lab.refused_in_clear(errors.MissingField):
            query.send()

    def test_oversized_message_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.opening.sealed = bytes(30_000)
        with lab.refused_in_clear(errors.MessageTooLarge):
            query.send()

    def test_message_of_100_megabytes_is_refused_before_it_is_read(
        self, lab: CloudLab, doctor: Member, patient: Member
    ) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.opening.sealed = bytes(100_000_000)
        with pytest.raises(Limit):
            query.send()

    def test_bytes_that_are_no_message_are_refused(self, lab: CloudLab) -> None:
        method = lab.client()._channel.unary_unary("/federation.v1.SearchService/Search")
        with lab.refused_in_clear(errors.MalformedMessage):
            call(method, b"\xff\xff\xff")


class TestSearch:
    """What is found after the seal was opened is REJECTED; what is wrong with the grant, a proved doctor is told in C."""

    def test_replayed_query_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.send()
        with lab.rejected_for("MESSAGE_REPLAYED"):
            query.send()

    def test_outer_time_other_than_the_inner_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        query.opening.sent_at += 1
        with lab.rejected_for("SEAL_INVALID"):  # T in clear is bound into the seal, so the seal breaks first
            query.send()

    @pytest.mark.parametrize("place", [0, 1_200, -1])
    def test_flipped_bit_is_refused(self, lab: CloudLab, doctor: Member, patient: Member, place: int) -> None:
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        sealed = bytearray(query.opening.sealed)
        sealed[place] ^= 1
        query.opening.sealed = bytes(sealed)
        with lab.rejected_for("SEAL_INVALID"):
            query.send()

    def test_unregistered_doctor_is_refused(self, lab: CloudLab, patient: Member) -> None:
        doctor = lab.doctor("D:ended")
        registrations = lab.node.cloud.stores.registrations
        registrations.authorize_reissue("D:ended", registrations.live("D:ended").serial)
        with lab.rejected_for("NOT_REGISTERED"):
            _Query(lab, doctor, patient, lab.grant(patient, doctor)).send()

    def test_revoked_doctor_is_refused(self, lab: CloudLab, patient: Member) -> None:
        doctor = lab.doctor("D:lost")
        query = _Query(lab, doctor, patient, lab.grant(patient, doctor))
        lab.node.revoke("D:lost")
        lab.node.cloud.bulletin.refresh(lab.node.cloud.clock())
        with lab.rejected_for("CREDENTIAL_REVOKED"):
            query.send()

    def test_no_grant_no_record(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        with pytest.raises(errors.GrantMissing):
            lab.client().search(doctor, Question("P:good"), None, None)

    def test_grant_of_another_doctor_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        other = lab.doctor("D:other")
        with pytest.raises(errors.GrantInvalid):
            lab.client().search(other, Question("P:good"), lab.grant(patient, doctor), patient.key_statement)

    def test_expired_grant_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        grant = lab.grant(patient, doctor, Terms(life=timedelta(0)))
        with pytest.raises(errors.GrantExpired):
            lab.client().search(doctor, Question("P:good"), grant, patient.key_statement)

    def test_grant_without_the_right_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        grant = lab.grant(patient, doctor, Terms(rights=(RIGHT_READ,)))
        with pytest.raises(errors.GrantScope):
            lab.client().search(doctor, Question("P:good"), grant, patient.key_statement)

    def test_every_rejection_reads_the_same_and_none_comes_before_the_floor(
        self, lab: CloudLab, doctor: Member, patient: Member
    ) -> None:
        replayed, altered = (_Query(lab, doctor, patient, lab.grant(patient, doctor)) for _ in range(2))
        replayed.send()
        altered.opening.sealed = altered.opening.sealed[:-1] + bytes([altered.opening.sealed[-1] ^ 1])
        told = set()
        for query in (replayed, altered):
            started = time.monotonic()
            with pytest.raises(grpc.RpcError) as raised:
                SearchServiceStub(query.client._channel).Search(SearchRequest(opening=query.opening))
            assert time.monotonic() - started >= REJECTION_FLOOR.total_seconds()
            trailing = tuple(entry for entry in raised.value.trailing_metadata() if entry.key != REQUEST_ID)
            told.add((raised.value.code(), raised.value.details(), trailing))
        assert len(told) == 1


class TestHospitals:
    """Publication, tickets, TLS identities."""

    def test_foreign_department_is_refused(self, lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
        with lab.rejected_for("DEPARTMENT_FOREIGN"):
            hospital[1].publish(hospital[0], publication_of("H:good", "P:good", "H:other/cardiology"))

    def test_department_of_an_unpublished_class_is_refused(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient]
    ) -> None:
        with lab.rejected_for("FIELD_INVALID"):
            hospital[1].publish(hospital[0], publication_of("H:good", "P:good", "H:good/alchemy"))

    def test_replayed_publication_is_refused(self, lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
        member, client = hospital
        publication = publication_of("H:good", "P:good", "H:good/cardiology")
        key = _cloud_key(client, member)
        opening, _ = PUBLISH.send(publication, member.keys.signing_key, key, now=client.clock())
        stub = PublicationServiceStub(client._peer_channel())
        call(stub.Publish, PublishRequest(opening=opening))
        with lab.rejected_for("MESSAGE_REPLAYED"):
            call(stub.Publish, PublishRequest(opening=opening))

    def test_publication_on_another_hospitals_connection_is_refused(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient]
    ) -> None:
        member, client = hospital
        _, other = lab.hospital("H:elsewhere")
        publication = publication_of("H:good", "P:good", "H:good/cardiology")
        opening, _ = PUBLISH.send(publication, member.keys.signing_key, _cloud_key(client, member), now=client.clock())
        with lab.rejected_for("IDENTITY_MISMATCH"):
            call(PublicationServiceStub(other._peer_channel()).Publish, PublishRequest(opening=opening))

    def test_publication_signed_by_another_hospital_is_refused(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient]
    ) -> None:
        member, client = lab.hospital("H:forger")
        publication = publication_of("H:good", "P:good", "H:good/cardiology")
        with lab.rejected_for("SIGNATURE_INVALID"):
            client.publish(member, publication)

    def test_publication_on_the_public_port_is_refused(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient]
    ) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            PublicationServiceStub(lab.client()._channel).Publish(PublishRequest())
        assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED

    def test_ticket_without_a_client_certificate_is_refused(self, lab: CloudLab) -> None:
        with lab.refused_in_clear(errors.RoleForbidden):
            call(MembershipServiceStub(lab.client()._channel).IssueTicket, IssueTicketRequest())

    def test_ticket_by_an_unregistered_hospital_is_refused(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient]
    ) -> None:
        stranger = lab.member("H:stranger")
        with lab.rejected_for("NOT_REGISTERED"):
            hospital[1].issue_ticket(stranger, "P:anybody")

    def test_tls_identity_of_another_hospital_is_refused(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient]
    ) -> None:
        member, client = hospital
        request = request_certificate(member.keys.signing_key, "H:somebody-else")
        with lab.rejected_for("CERTIFICATE_REJECTED"):
            client.certify_tls_identity(member, request)

    def test_address_of_a_doctor_is_refused(self, lab: CloudLab, doctor: Member) -> None:
        with lab.rejected_for("FIELD_INVALID"):
            lab.client().renew(doctor, "127.0.0.1:1")

    def test_encryption_key_of_another_party_is_refused(self, lab: CloudLab, doctor: Member, patient: Member) -> None:
        client = lab.client()
        key = _cloud_key(client, doctor)
        payload = EncryptionKeyRenewal(encryption_key_statement=patient.epochs.current(client.clock()))
        opening, _ = RENEW.send(payload, doctor.keys.signing_key, key, now=client.clock())
        with lab.rejected_for("SIGNATURE_INVALID"):
            call(MembershipServiceStub(client._channel).PutEncryptionKey, PutEncryptionKeyRequest(opening=opening))


class TestRevocation:
    """Taking a grant back."""

    def test_grant_of_another_patient_cannot_be_revoked(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient], doctor: Member, patient: Member
    ) -> None:
        meddler = lab.patient("P:meddler", hospital)
        with lab.rejected_for("GRANT_INVALID"):
            lab.client().revoke_grant(meddler, lab.grant(patient, doctor))

    def test_grant_of_an_earlier_registration_cannot_be_revoked(
        self, lab: CloudLab, hospital: tuple[Member, CloudClient], doctor: Member
    ) -> None:
        member = lab.patient("P:earlier", hospital)
        grant = lab.grant(member, doctor)
        lab.node.revoke("P:earlier")
        lab.node.cloud.bulletin.refresh(lab.node.cloud.clock())
        fresh = lab.patient("P:earlier", hospital)
        with lab.rejected_for("GRANT_INVALID"):
            lab.client().revoke_grant(fresh, grant)
