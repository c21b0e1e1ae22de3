"""Revoked, and still served: by a session that was opened before, by a grant of an earlier credential."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from federation.errors import CertificateRevoked, CredentialRevoked, GrantExpired, GrantRevoked, Rejected
from federation.party.member import Member
from federation.party.registration import apply
from federation.protocol.access import AccessClaim, Use, authorize
from federation.protocol.frames import Piece
from federation.protocol.record import Release
from federation.protocol.search import Question
from federation.v1.statement_pb2 import RIGHT_READ, ROLE_PATIENT
from keystore.transcript import digest
from tests.e2e.cloud_lab import CloudLab
from tests.hospital_lab import Client, HospitalLab, ecg, encounter_of, report
from tests.mallory import refused, rejected
from tests.simulator import Federation

Revoke = Callable[[Federation], None]


def by_serial(federation: Federation) -> None:
    federation.revoke(federation.doctor, federation.hospital_a)


def by_crl(federation: Federation) -> None:
    federation.revoke_certificate(federation.hospital_a)


REVOKED = pytest.mark.parametrize(
    ("revoke", "reason"), [(by_serial, "CREDENTIAL_REVOKED"), (by_crl, "CERTIFICATE_REVOKED")], ids=["serial", "CRL"]
)


@REVOKED
def test_a_doctor_revoked_after_its_session_opened_reads_nothing(
    lab: HospitalLab, client: Client, revoke: Revoke, reason: str
) -> None:
    """A doctor opens a session, is revoked, and asks then. The hospital looks at the doctor again before it decides."""
    federation, handle = lab.federation, lab.import_files()
    with client.session() as session:
        established = client.establish(session, federation.intent(federation.grant(), handles=(handle,)))
        revoke(federation)
        session.send(frame=established.query(now=federation.clock.now)[1])
        with pytest.raises(Rejected):
            session.receive()
    assert lab.reasons[-1] == reason


@REVOKED
def test_a_doctor_revoked_after_its_session_opened_deposits_nothing(
    lab: HospitalLab, client: Client, revoke: Revoke, reason: str
) -> None:
    """The same with STO, whose slices may take an hour."""
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    with client.session() as session:
        established = client.establish(session, encounter.intent)
        *slices, last = established.deposit(encounter.biosignal, encounter.diagnosis, encounter.deposit)[1]
        for frame in slices:
            session.send(frame=frame)
        revoke(federation)
        session.send(frame=last)
        with pytest.raises(Rejected):
            session.receive()
    assert lab.reasons[-1] == reason
    assert not list(lab.hospital.stores.records.all())


@pytest.fixture
def release(federation: Federation) -> Release:
    """Give a release under way: a slice is out."""
    hospital, now = federation.hospital_a, federation.clock.now
    established, requested = federation.establish(hospital, federation.intent(federation.grant()))
    received = requested.receive(established.query(now=now)[1], hospital.verifier(), now=now)
    release, _ = received.decide(hospital.verifier(), now=now).recorded().slice(Piece(b"slice"), now=now)
    release.require_still_allowed(hospital.verifier(), now=now)
    return release


def still_allowed(federation: Federation, release: Release) -> None:
    release.require_still_allowed(federation.hospital_a.verifier(), now=federation.clock.now)


@pytest.mark.parametrize(
    ("revoke", "cause"), [(by_serial, CredentialRevoked), (by_crl, CertificateRevoked)], ids=["serial", "CRL"]
)
def test_a_release_under_way_is_decided_anew_on_its_doctor(
    federation: Federation, release: Release, revoke: Revoke, cause: type[Exception]
) -> None:
    """A record of 100 MB takes minutes. Between its slices everything is decided anew, from the doctor to the grant."""
    revoke(federation)
    with rejected(cause):
        still_allowed(federation, release)


def test_a_release_under_way_is_decided_anew_on_its_patient(federation: Federation, release: Release) -> None:
    federation.revoke(federation.patient, federation.hospital_a)
    with rejected(CredentialRevoked):
        still_allowed(federation, release)


def test_a_release_under_way_is_decided_anew_on_its_grant(federation: Federation, release: Release) -> None:
    federation.revoke_grant(release.query.access.consent.grant)
    with refused(GrantRevoked):
        still_allowed(federation, release)


def test_a_release_under_way_ends_with_its_grant(federation: Federation, release: Release) -> None:
    federation.clock.advance(timedelta(hours=24))
    federation.refresh()
    with refused(GrantExpired):
        still_allowed(federation, release)


def registered_anew(cloud: CloudLab, patient: Member) -> Member:
    """Give the patient as it is after a rotation of its PRK_X: its old one has asked for the new."""
    anew, client = cloud.member(patient.identity), cloud.client()
    client.refresh(anew)
    apply(anew, client, ROLE_PATIENT, bytes(32), None, certificate=b"", current=patient.signing_key, pause=time.sleep)
    return anew


def test_a_patient_who_registered_anew_takes_its_earlier_grants_back(cloud: CloudLab) -> None:
    """A client registers anew by itself. The grants made before go on working, so they can be taken back: then cloud and
    hospital refuse them, whichever KS_P the doctor shows.
    """
    hospital = cloud.hospital("H:west")
    patient, doctor = cloud.patient("P:anew", hospital), cloud.doctor("D:west")
    grant, shown = cloud.grant(patient, doctor), patient.key_statement
    client, question = cloud.client(), Question(AccessClaim("P:anew", grant, shown))
    anew = registered_anew(cloud, patient)
    assert anew.key_statement != shown
    client.search(doctor, question)

    def at_the_hospital() -> None:
        member, now = hospital[0], client.clock()
        client.refresh(member)
        verifier = member.verifier()
        use = Use(RIGHT_READ, "D:west", digest(doctor.certificate), "H:west", None)
        authorize(grant, verifier.party(shown, ROLE_PATIENT, now=now), use, verifier, now=now)

    at_the_hospital()
    client.revoke_grant(anew, grant)
    with pytest.raises(GrantRevoked):
        client.search(doctor, question)
    with refused(GrantRevoked):
        at_the_hospital()


def test_a_patient_who_registered_anew_still_takes_nobody_elses_grant_back(cloud: CloudLab) -> None:
    hospital = cloud.hospital("H:east")
    meddler, victim = cloud.patient("P:meddler", hospital), cloud.patient("P:victim", hospital)
    grant = cloud.grant(victim, cloud.doctor("D:east"))
    anew = registered_anew(cloud, meddler)
    with cloud.rejected_for("GRANT_INVALID"):
        cloud.client().revoke_grant(anew, grant)
