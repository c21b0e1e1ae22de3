"""A member registers again by itself, and what was cut short goes on: against a real public cloud over TLS."""

from collections.abc import Callable, Iterator

import pytest

from federation.clients.cloud import CloudClient
from federation.clients.renewal import renew_registration
from federation.errors import Unavailable
from federation.member import Member
from federation.protocol.statements import peek_statement
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.statement_pb2 import Credential, KeyStatement
from hsm import Pin, TokenUri, pin_from_value
from tests.e2e.cloud_lab import CloudLab, cloud_lab


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, make_token_uri: Callable[..., TokenUri], user_pin: Pin
) -> Iterator[CloudLab]:
    with cloud_lab(tmp_path_factory.mktemp("lab"), make_token_uri, pin_from_value(user_pin.reveal())) as made:
        yield made


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
    first, certificate = serial_of(doctor), doctor.certificate
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
    with Deaf(lab.node.trust) as deaf, pytest.raises(Unavailable):
        renew_registration(doctor, deaf, doctor.certificate, certificate=doctor.certificate, pause=lambda _: None)
    newer = lab.certificate(doctor)
    assert newer != doctor.certificate
    renew_registration(doctor, cloud, newer, certificate=newer)
    assert serial_of(doctor) == live_serial(lab, "D:changed")
    assert doctor.certificate == newer


def test_a_renewal_that_ends_late_does_not_put_the_older_statement_back(lab: CloudLab) -> None:
    doctor, cloud = lab.doctor("D:twice"), lab.client()
    older = doctor.key_statement
    renew_registration(doctor, cloud, doctor.certificate, certificate=doctor.certificate)
    newer = doctor.key_statement
    assert not doctor._keep_statement(older)
    assert doctor.key_statement == newer


def test_the_old_registration_secret_stays_until_its_credential_is_over(lab: CloudLab) -> None:
    doctor, cloud = lab.doctor("D:former"), lab.client()
    first = serial_of(doctor)
    renew_registration(doctor, cloud, doctor.certificate, certificate=doctor.certificate)
    assert doctor.keys.holds_registration_secret(first)
    assert doctor.forget_former(cloud.clock()) == 0
    end = peek_statement(KeyStatement, doctor.key_statement).not_after
    assert doctor.forget_former(end) == 1
    assert not doctor.keys.holds_registration_secret(first)
