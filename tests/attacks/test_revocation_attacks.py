"""Revoked, and still served: by a session that was opened before, by a grant of an earlier credential."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from federation.clock import system_entropy
from federation.errors import (
    CertificateRevoked,
    CredentialRevoked,
    DeputyExpired,
    GrantExpired,
    GrantRevoked,
    Rejected,
)
from federation.party.member import Member
from federation.party.registration import apply
from federation.protocol.access import Question as AccessQuestion
from federation.protocol.access import Receiver, Validity
from federation.protocol.consent import Shift, Ward, make_duty, make_guardianship, make_mandate
from federation.protocol.frames import Piece
from federation.protocol.record_hospital import Release
from federation.protocol.search import Question
from federation.protocol.shown import Shown, asker_of
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import (
    POWER_GRANT,
    POWER_READ,
    POWER_REVOKE,
    RIGHT_READ,
    ROLE_PATIENT,
    Guardianship,
    SignedStatement,
)
from tests.e2e.cloud_lab import CloudLab, question_of
from tests.hospital_lab import Client, HospitalLab, ecg, encounter_of, report
from tests.mallory import refused, rejected, restated
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
    release, _ = received.decide(hospital.verifier(), Receiver(), now=now).recorded().slice(Piece(b"slice"), now=now)
    release.require_still_allowed(hospital.verifier(), Receiver(), now=now)
    return release


def still_allowed(federation: Federation, release: Release) -> None:
    release.require_still_allowed(federation.hospital_a.verifier(), Receiver(), now=federation.clock.now)


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
    client, question = cloud.client(), question_of(patient, grant)
    anew = registered_anew(cloud, patient)
    assert anew.key_statement != shown
    client.search(doctor, question)

    def at_the_hospital() -> None:
        member, now = hospital[0], client.clock()
        client.refresh(member)
        verifier = member.verifier()
        asker = verifier.doctor(doctor.key_statement, doctor.certificate, now=now)
        asked = AccessQuestion(asker_of(asker), RIGHT_READ, "P:anew", "H:west")
        question.shown.decide(asker, asked, verifier, Receiver(), now=now)

    at_the_hospital()
    client.revoke(anew, [("grant", grant)])
    with pytest.raises(GrantRevoked):
        client.search(doctor, question)
    with refused(GrantRevoked):
        at_the_hospital()


def test_a_patient_who_registered_anew_still_takes_nobody_elses_grant_back(cloud: CloudLab) -> None:
    hospital = cloud.hospital("H:east")
    meddler, victim = cloud.patient("P:meddler", hospital), cloud.patient("P:meddled", hospital)
    grant = cloud.grant(victim, cloud.doctor("D:east"))
    anew = registered_anew(cloud, meddler)
    with cloud.rejected_for("GRANT_INVALID"):
        cloud.client().revoke(anew, [("grant", grant)])


class Family:
    """A patient whose mother has a mandate, and grants to a doctor, at a served cloud."""

    def __init__(self, cloud: CloudLab, name: str, *powers: int) -> None:
        self.cloud, self.client = cloud, cloud.client()
        self.hospital = cloud.hospital(f"H:{name}")
        self.patient = cloud.patient(f"P:{name}", self.hospital)
        self.mother = cloud.patient(f"P:{name}-mother", self.hospital)
        self.doctor = cloud.doctor(f"D:{name}")
        self.grant = cloud.grant(self.patient, self.doctor)
        self.mandate = self.mandate_for(self.mother.identity, *powers)
        self.shown = Deputyship(mandate=self.mandate, key_statement=self.patient.key_statement)

    def mandate_for(self, deputy_id: str, *powers: int) -> SignedStatement:
        now = self.client.clock()
        return make_mandate(
            self.patient.party(now), deputy_id, powers, timedelta(days=1), now=now, entropy=system_entropy
        )

    def finds(self, grant: SignedStatement) -> bool:
        """Return whether the doctor may search by a grant of the patient's."""
        try:
            self.client.search(self.doctor, question_of(self.patient, grant))
        except GrantRevoked:
            return False
        return True

    def guardianship(self, hospital: Member) -> SignedStatement:
        now = self.client.clock()
        ward = Ward(self.patient.identity, self.mother.identity, "parent", "officer", [POWER_READ], now + 3_600_000)
        return make_guardianship(hospital.party(now), ward, now=now, entropy=system_entropy)

    def find_own(self, shown: Deputyship) -> None:
        """Let the mother look for the patient's records. Raises DeputyExpired, also where the deputyship was taken back."""
        self.client.search(self.mother, Question(Shown.by_own_right(self.patient.identity, shown)))


def test_deputy_with_the_power_takes_a_grant_back_and_then_everything(cloud: CloudLab) -> None:
    family = Family(cloud, "kind", POWER_REVOKE)
    in_name_of = {"owner_id": "P:kind", "deputyship": family.shown}
    family.client.revoke(family.mother, [("grant", family.grant)], **in_name_of)
    other = cloud.grant(family.patient, family.doctor)
    assert (family.finds(family.grant), family.finds(other)) == (False, True)
    family.client.revoke(family.mother, [], before=family.client.clock(), **in_name_of)
    assert not family.finds(other)
    with cloud.rejected_for("DEPUTY_REVOKED"):  # its own mandate was signed before, too
        family.client.revoke(family.mother, [("grant", other)], **in_name_of)


def test_deputy_without_the_power_takes_nothing_back(cloud: CloudLab) -> None:
    family = Family(cloud, "weak", POWER_GRANT, POWER_READ)
    with cloud.rejected_for("DEPUTY_POWERS"):
        family.client.revoke(family.mother, [("grant", family.grant)], owner_id="P:weak", deputyship=family.shown)
    assert family.finds(family.grant)


def test_deputy_of_another_patient_takes_nothing_back(cloud: CloudLab) -> None:
    """It stands for one patient, and names another as the owner; or brings a mandate that was given to somebody else."""
    victim, other = Family(cloud, "victim", POWER_REVOKE), Family(cloud, "bystander", POWER_REVOKE)
    for sender in (other.mother, other.patient):
        for shown in (other.shown, victim.shown):
            with cloud.rejected_for("DEPUTY_INVALID"):
                other.client.revoke(sender, [("grant", victim.grant)], owner_id="P:victim", deputyship=shown)
    with cloud.rejected_for("GRANT_INVALID"):
        other.client.revoke(other.mother, [("grant", victim.grant)], owner_id="P:bystander", deputyship=other.shown)
    assert victim.finds(victim.grant)


def test_patient_takes_no_mandate_of_another_back(cloud: CloudLab) -> None:
    family, stranger = Family(cloud, "giver", POWER_READ), Family(cloud, "stranger", POWER_READ)
    with cloud.rejected_for("DEPUTY_INVALID"):
        stranger.client.revoke(stranger.patient, [("mandate", family.mandate)])
    family.find_own(family.shown)
    family.client.revoke(family.patient, [("mandate", family.mandate)])
    with pytest.raises(DeputyExpired):
        family.find_own(family.shown)


def test_hospital_takes_no_duty_of_another_back(cloud: CloudLab) -> None:
    own, other = cloud.hospital("H:own")[0], cloud.hospital("H:rival")[0]
    doctor, client = cloud.doctor("D:busy"), cloud.client()
    now = client.clock()
    shift = Shift(bytes(16), "D:busy", ("surgery",), Validity(now, now + 3_600_000))
    duty = make_duty(own.party(now), shift, doctor.signing_key.verifying_key.data)
    with cloud.rejected_for("DUTY_INVALID"):
        client.revoke(other, [("duty", duty)])
    with cloud.rejected_for("IDENTITY_MISMATCH"):
        client.revoke(other, [("duty", duty)], owner_id="H:own")
    assert client.revoke(own, [("duty", duty)]).is_revoked("duty", "H:own", bytes(16))


def test_guardianship_ends_by_its_own_hospital_or_the_clouds_operator_alone(cloud: CloudLab) -> None:
    """Another hospital states one of the same id, which it has seen, and takes that back: it is in its own name space."""
    family = Family(cloud, "ward")
    own, rogue = family.hospital[0], cloud.hospital("H:rogue")[0]
    signed = family.guardianship(own)
    stated = Guardianship.FromString(signed.statement)

    def same_id(statement: Guardianship) -> None:
        statement.guardianship_id = stated.guardianship_id

    twin = restated("guardian", family.guardianship(rogue), Guardianship, rogue.signing_key, same_id)
    shown = Deputyship(guardianship=signed, key_statement=own.key_statement)
    family.client.revoke(rogue, [("guardian", twin)])
    family.find_own(shown)
    family.client.revoke(own, [("guardian", signed)])
    with pytest.raises(DeputyExpired):
        family.find_own(shown)
    second = family.guardianship(own)
    shown = Deputyship(guardianship=second, key_statement=own.key_statement)
    family.find_own(shown)
    cloud.node.revoke_guardian("H:ward", Guardianship.FromString(second.statement).guardianship_id)
    cloud.node.cloud.publisher.refresh(cloud.node.cloud.clock())
    with pytest.raises(DeputyExpired):
        family.find_own(shown)


def test_guardian_stands_when_its_patients_statements_are_swept(cloud: CloudLab) -> None:
    """A child that learned to type takes back everything that it signed: its mother's guardianship is the hospital's."""
    family = Family(cloud, "child")
    signed = family.guardianship(family.hospital[0])
    family.client.revoke(family.patient, [], before=family.client.clock())
    family.find_own(Deputyship(guardianship=signed, key_statement=family.hospital[0].key_statement))
    assert not family.finds(family.grant)


def test_sweep_of_what_is_to_come_is_refused(cloud: CloudLab) -> None:
    """With a borrowed device somebody would end all that the patient will sign in the next years."""
    family = Family(cloud, "borrowed")
    with cloud.rejected_for("FUTURE_DATED"):
        family.client.revoke(family.patient, [], before=family.client.clock() + 60_000)
    assert family.finds(family.grant)


def test_sweep_of_earlier_days_takes_no_later_one_away(cloud: CloudLab) -> None:
    family = Family(cloud, "twice")
    now = family.client.clock()
    assert family.client.revoke(family.patient, [], before=now).swept_before("P:twice") == now
    assert family.client.revoke(family.patient, [], before=1).swept_before("P:twice") == now
    assert not family.finds(family.grant)
    assert family.finds(cloud.grant(family.patient, family.doctor))
