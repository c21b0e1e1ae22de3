"""Registrations that the cloud refuses, in the order of its checks: REJECTED on the wire, the reason in its audit log."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from federation import errors
from federation.clock import system_clock, system_entropy
from federation.cloud.membership import new_ticket
from federation.cloud.registration import CHALLENGE_LIFE, new_challenge
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.registration import register
from federation.protocol.registration import AwaitingCredential
from federation.protocol.time import milliseconds
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.statement_pb2 import ROLE_DOCTOR, ROLE_HOSPITAL, ROLE_PATIENT
from hsm import TokenUri
from keystore.errors import CertificateRejected
from tests.e2e.cloud_lab import CloudLab, foreign_certificate
from tests.e2e.cloud_refusals.query import cloud_key


def _shifted(delta: timedelta) -> Callable[[], int]:
    return lambda: system_clock() + delta // timedelta(milliseconds=1)


def _apply(lab: CloudLab, member: Member, challenge: bytes, ticket: bytes) -> tuple[AwaitingCredential, SealedOpening]:
    """Make reg1 of a hospital over a challenge of the caller's choice."""
    client = lab.client()
    key = cloud_key(client, member)
    now = client.clock()
    return member.applicant(ROLE_HOSPITAL, b"licence", ticket, now=now).apply(challenge, key, now=now)


def test_stale_registration_is_refused(lab: CloudLab) -> None:
    late = lab.client(clock=_shifted(timedelta(seconds=-40)))
    with lab.refused_in_clear(errors.StaleMessage):
        register(lab.member("H:stale"), late, ROLE_HOSPITAL, b"licence", system_entropy(16))


def test_future_dated_registration_is_refused(lab: CloudLab) -> None:
    early = lab.client(clock=_shifted(timedelta(seconds=20)))
    with lab.refused_in_clear(errors.FutureDated):
        register(lab.member("H:future"), early, ROLE_HOSPITAL, b"licence", system_entropy(16))


def test_challenge_used_twice_is_refused(lab: CloudLab) -> None:
    client, challenge = lab.client(), lab.client().open_registration().challenge
    _, first = _apply(lab, lab.member("H:challenge"), challenge, lab.node.invite("H:challenge")[0])
    _, second = _apply(lab, lab.member("H:again"), challenge, lab.node.invite("H:again")[0])
    client.send_registration(first)
    with lab.rejected_for("CHALLENGE_INVALID"):
        client.send_registration(second)
    assert lab.refusals()[-1].detail == "the challenge was used before", "it was looked at before a serial was used up"


def test_challenge_is_not_used_up_by_a_request_that_is_refused(lab: CloudLab) -> None:
    client, member = lab.client(), lab.member("H:mistaken")
    challenge = client.open_registration().challenge
    _, mistaken = _apply(lab, member, challenge, system_entropy(16))
    _, right = _apply(lab, member, challenge, lab.node.invite("H:mistaken")[0])
    with lab.rejected_for("TICKET_INVALID"):
        client.send_registration(mistaken)
    client.send_registration(right)


def test_challenge_that_nobody_gave_is_refused(lab: CloudLab) -> None:
    _, opening = _apply(lab, lab.member("H:made-up"), system_entropy(16), lab.node.invite("H:made-up")[0])
    with lab.rejected_for("CHALLENGE_INVALID"):
        lab.client().send_registration(opening)


def test_challenge_too_old_is_refused(lab: CloudLab) -> None:
    ago = system_clock() - milliseconds(CHALLENGE_LIFE) - 1000
    challenge = new_challenge(lab.node.cloud.keys.index, system_entropy(4), now=ago)
    _, opening = _apply(lab, lab.member("H:old"), challenge, lab.node.invite("H:old")[0])
    with lab.rejected_for("CHALLENGE_INVALID"):
        lab.client().send_registration(opening)


def test_ticket_used_twice_is_refused(lab: CloudLab) -> None:
    ticket, _ = lab.node.invite("H:ticket")
    register(lab.member("H:ticket"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)
    lab.node.revoke("H:ticket")
    with lab.rejected_for("TICKET_INVALID"):
        register(lab.member("H:ticket"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)


def test_ticket_for_another_identity_is_refused(lab: CloudLab) -> None:
    with lab.rejected_for("TICKET_INVALID"):
        register(lab.member("H:thief"), lab.client(), ROLE_HOSPITAL, b"licence", lab.node.invite("H:invited")[0])


def test_ticket_for_another_role_is_refused(lab: CloudLab) -> None:
    with lab.rejected_for("TICKET_INVALID"):
        register(lab.member("P:role"), lab.client(), ROLE_PATIENT, bytes(32), lab.node.invite("H:role")[0])


def test_expired_ticket_is_refused(lab: CloudLab) -> None:
    cloud = replace(lab.node.cloud, ticket_life=timedelta(seconds=-1))
    act = cloud.act("TICKET", "H:late by the operator", now=cloud.clock())
    ticket, _ = new_ticket(cloud, "hospital", "H:late", "operator", act, now=cloud.clock())
    with lab.rejected_for("TICKET_INVALID"):
        register(lab.member("H:late"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)


def test_no_ticket_is_refused(lab: CloudLab) -> None:
    with lab.rejected_for("TICKET_INVALID"):
        register(lab.member("P:none"), lab.client(), ROLE_PATIENT, bytes(32), None)


def test_illegal_certificate_is_refused(lab: CloudLab, make_token_uri: Callable[..., TokenUri]) -> None:
    member = lab.member("D:quack")
    certificate = foreign_certificate(lab, member, make_token_uri)
    with lab.rejected_for("CERTIFICATE_ILLEGAL"):
        register(member, lab.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)


def test_foreign_certificate_is_refused(lab: CloudLab, doctor: Member) -> None:
    with lab.rejected_for("CERTIFICATE_FOREIGN"):
        register(lab.member("D:impostor"), lab.client(), ROLE_DOCTOR, doctor.certificate, None)


def test_revoked_certificate_is_refused(lab: CloudLab) -> None:
    member = lab.member("D:revoked")
    certificate = lab.certificate(member)
    lab.authority.revoke("D:revoked")
    lab.node.put_crl(lab.authority.crl())
    lab.node.cloud.publisher.refresh(lab.node.cloud.clock())
    with lab.rejected_for("CERTIFICATE_REVOKED"):
        register(member, lab.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)


def test_delta_takes_no_lists_place(lab: CloudLab) -> None:
    """A delta does not name who was revoked before it: taken for the whole list, it brings them back."""
    member = lab.member("D:delta")
    certificate = lab.certificate(member)
    lab.authority.revoke("D:delta")
    whole = lab.authority.crl()
    lab.node.put_crl(whole)
    number = lab.authority.crl().extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    with pytest.raises(CertificateRejected, match="delta"):
        lab.node.put_crl(_delta(lab, number))
    assert [it.crl for it in lab.node.authorities()] == [whole.public_bytes(Encoding.DER)]
    lab.node.cloud.publisher.refresh(lab.node.cloud.clock())
    with lab.rejected_for("CERTIFICATE_REVOKED"):
        register(member, lab.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)


def _delta(lab: CloudLab, number: int) -> x509.CertificateRevocationList:
    now, authority = datetime.now(UTC), lab.authority
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(hours=1))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.DeltaCRLIndicator(number - 1), critical=True)
    )
    return builder.sign(authority._key, SHA256())


def test_certificate_out_of_its_authoritys_scope_is_refused(lab: CloudLab) -> None:
    member = lab.member("D:beta.roe")
    certificate = lab.certificate(member)
    lab.node.add_authority(lab.authority.certificate, ["D:alpha.*", "D:beta"])
    try:
        with lab.rejected_for("CERTIFICATE_OUT_OF_SCOPE"):
            register(member, lab.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)
    finally:
        lab.node.add_authority(lab.authority.certificate, ["D:*"])
    register(member, lab.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)


@pytest.mark.parametrize("scope", ["*", "D:a*b", "alpha.*", "H:alpha", "D:a b"])
def test_authority_for_what_is_no_doctor_is_not_recognised(lab: CloudLab, scope: str) -> None:
    with pytest.raises(errors.FieldInvalid):
        lab.node.add_authority(lab.authority.certificate, ["D:*", scope])
    assert [it.doctor_ids for it in lab.node.authorities()] == [("D:*",)]


def test_identity_that_is_registered_already_is_refused(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> None:
    ticket, _ = lab.node.invite("H:good")
    with lab.rejected_for("ALREADY_REGISTERED"):
        register(lab.member("H:good"), lab.client(), ROLE_HOSPITAL, b"licence", ticket)
    assert lab.node.cloud.live("H:good", now=system_clock()) is not None


def test_registration_that_was_refused_keeps_nothing(lab: CloudLab) -> None:
    member = lab.member("H:nothing")
    with lab.rejected_for("TICKET_INVALID"):
        register(member, lab.client(), ROLE_HOSPITAL, b"licence", system_entropy(16))
    assert lab.node.cloud.live("H:nothing", now=system_clock()) is None
    assert "H:nothing" not in {identity for _, _, identity, _ in lab.node.cloud.stores.registrations.issued()}
    assert not member.is_registered
