"""A member registers again by itself, and what was cut short goes on: against a real public cloud over TLS."""

from datetime import timedelta

import pytest

from federation.errors import RenewalNotDue, Unavailable
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.registration import renew_registration
from federation.person.maintenance import maintain
from federation.protocol.statements import peek_statement
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.statement_pb2 import Credential, KeyStatement
from tests.e2e.cloud_lab import CloudLab


class Deaf(CloudClient):
    """A client that dies before any answer to reg1 comes back: the cloud has taken it."""

    def send_registration(self, opening: SealedOpening) -> SealedReply:
        super().send_registration(opening)
        raise Unavailable("the answer is lost")


def serial_of(member: Member) -> bytes:
    return Credential.FromString(peek_statement(KeyStatement, member.key_statement).credential).serial


def live_serial(lab: CloudLab, identity: str) -> bytes:
    live = lab.node.cloud.stores.registrations.live(identity)
    assert live is not None
    return live.serial


def test_a_renewal_whose_answer_was_lost_is_taken_by_the_next_run(lab: CloudLab) -> None:
    doctor, before = lab.doctor("D:cut"), lab.client()
    first, certificate = serial_of(doctor), lab.certificate(doctor)
    with Deaf(lab.node.trust) as deaf, pytest.raises(Unavailable):
        renew_registration(doctor, deaf, certificate, certificate=certificate, pause=lambda _: None)
    assert serial_of(doctor) == first != live_serial(lab, "D:cut")
    renew_registration(doctor, before, certificate, certificate=certificate)
    assert serial_of(doctor) == live_serial(lab, "D:cut")
    issued = [identity for _, _, identity, _ in lab.node.cloud.stores.registrations.issued()]
    assert issued.count("D:cut") == 2  # the answer came again, no third credential
    assert doctor.request_under_way is None


def test_what_is_kept_of_a_renewal_is_not_taken_for_other_evidence(lab: CloudLab) -> None:
    doctor, cloud = lab.doctor("D:changed"), lab.client()
    taken = lab.certificate(doctor)
    with Deaf(lab.node.trust) as deaf, pytest.raises(Unavailable):
        renew_registration(doctor, deaf, taken, certificate=taken, pause=lambda _: None)
    newer = lab.certificate(doctor)
    assert newer != doctor.certificate
    renew_registration(doctor, cloud, newer, certificate=newer)
    assert serial_of(doctor) == live_serial(lab, "D:changed")
    assert doctor.certificate == newer


def test_a_renewal_that_ends_late_does_not_put_the_older_statement_back(lab: CloudLab) -> None:
    doctor, cloud = lab.doctor("D:twice"), lab.client()
    older, certificate = doctor.key_statement, lab.certificate(doctor)
    renew_registration(doctor, cloud, certificate, certificate=certificate)
    newer = doctor.key_statement
    assert not doctor._keep_statement(older)
    assert doctor.key_statement == newer


def test_the_old_registration_secret_stays_until_its_credential_is_over(lab: CloudLab) -> None:
    doctor, cloud = lab.doctor("D:former"), lab.client()
    first, certificate = serial_of(doctor), lab.certificate(doctor)
    renew_registration(doctor, cloud, certificate, certificate=certificate)
    assert doctor.keys.holds_registration_secret(first)
    assert doctor.forget_former(cloud.clock()) == 0
    end = peek_statement(KeyStatement, doctor.key_statement).not_after
    assert doctor.forget_former(end) == 1
    assert not doctor.keys.holds_registration_secret(first)


def test_a_renewal_that_is_not_due_is_told_in_clear_and_is_no_fault_of_the_member(
    lab: CloudLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member whose clock is ahead sees its credential end before the cloud does: it goes on with what it has."""
    doctor, cloud = lab.doctor("D:early"), lab.client()
    kept = doctor.key_statement
    with lab.refused_in_clear(RenewalNotDue):
        renew_registration(doctor, cloud, doctor.certificate, certificate=doctor.certificate)
    monkeypatch.setattr("federation.party.registration.RENEWED_BEFORE_END", timedelta(days=366))
    assert maintain(doctor, cloud, doctor.certificate, certificate=doctor.certificate) is None
    assert [event.reason for event in lab.refusals()][-2:] == ["RENEWAL_NOT_DUE"] * 2
    assert doctor.key_statement == kept


def test_a_renewal_whose_registration_goes_meanwhile_is_refused_not_registered(lab: CloudLab) -> None:
    doctor, cloud = lab.doctor("D:meanwhile"), lab.client()
    certificate, database = lab.certificate(doctor), lab.node.database
    goes = "AFTER INSERT ON issuances BEGIN DELETE FROM registrations WHERE identity = 'D:meanwhile'; END"
    database.write(lambda connection: connection.exec_driver_sql(f"CREATE TRIGGER meanwhile {goes}"))
    with lab.rejected_for("NOT_REGISTERED"):
        renew_registration(doctor, cloud, certificate, certificate=certificate)
    database.write(lambda connection: connection.exec_driver_sql("DROP TRIGGER meanwhile"))
