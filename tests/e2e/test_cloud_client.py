"""The calling side against a real public cloud: lost answers, rotated keys, an absent cloud, a missing TLS identity."""

from dataclasses import replace

import pytest

from federation.errors import CredentialRevoked, GrantMissing, StaleMessage, Unavailable
from federation.party.cloud_client import CloudClient
from federation.party.registration import PAUSES_SECONDS, register
from federation.protocol.search import Question
from federation.protocol.shown import Shown
from federation.protocol.statements import peek_statement
from federation.protocol.verifier import EncryptionKey
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.statement_pb2 import ROLE_DOCTOR, EncryptionKeyStatement, SignedStatement
from tests.e2e.cloud_lab import CloudLab, free_port


class Lossy(CloudClient):
    """A client over a network that loses the answers to reg1, so many times."""

    losses = 2
    sent = 0

    def send_registration(self, opening: SealedOpening) -> SealedReply:
        answer = super().send_registration(opening)
        self.sent += 1
        if self.sent <= self.losses:
            raise Unavailable("the answer is lost")
        return answer


def test_a_registration_whose_answer_is_lost_is_made_once(lab: CloudLab) -> None:
    member = lab.member("D:unlucky")
    certificate, pauses = lab.certificate(member), []
    with Lossy(lab.node.trust) as cloud:
        party = register(member, cloud, ROLE_DOCTOR, certificate, None, certificate=certificate, pause=pauses.append)
    assert cloud.sent == 3
    assert pauses == list(PAUSES_SECONDS[:2])
    assert member.is_registered
    assert [identity for _, _, identity, _ in lab.node.cloud.stores.registrations.issued()].count("D:unlucky") == 1
    assert party.identity == "D:unlucky"


def test_a_cloud_that_never_answers_leaves_nobody_registered(lab: CloudLab) -> None:
    member = lab.member("D:nobody")
    content = TrustBundle()
    content.CopyFrom(lab.node.trust().content)
    content.cloud_address = f"127.0.0.1:{free_port()}"
    with CloudClient(lambda: replace(lab.node.trust(), content=content)) as cloud, pytest.raises(Unavailable):
        register(member, cloud, ROLE_DOCTOR, lab.certificate(member), None, pause=lambda _: None)
    assert not member.is_registered


def test_a_rotated_cloud_key_is_fetched_again(lab: CloudLab) -> None:
    doctor, cloud = lab.doctor("D:steady"), lab.client()
    old = cloud.cloud_key(doctor)
    other = lab.member("D:other").epochs.current(cloud.clock())  # a key that the cloud does not hold
    cloud._cloud_key = cloud.clock(), unknown_key(old, other)
    assert cloud.renew(doctor).key_id
    assert cloud.cloud_key(doctor) == old
    cloud._cloud_key = cloud.clock(), unknown_key(old, other)
    with pytest.raises(GrantMissing):
        cloud.search(doctor, Question(Shown("P:wang")))


def unknown_key(known: EncryptionKey, statement: SignedStatement) -> EncryptionKey:
    content = peek_statement(EncryptionKeyStatement, statement)
    return replace(known, key_id=content.key_id, encryption_key=content.encryption_key)


def test_a_clock_far_off_is_told_stale(lab: CloudLab) -> None:
    doctor, honest = lab.doctor("D:slow"), lab.client()
    honest.refresh(doctor)
    with CloudClient(lab.node.trust, clock=lambda: honest.clock() - 50_000) as cloud, pytest.raises(StaleMessage):
        cloud.renew(doctor)


def test_a_ticket_needs_a_tls_identity(lab: CloudLab) -> None:
    hospital, cloud = lab.hospital("H:desk")
    assert len(cloud.issue_ticket(hospital, "P:new").ticket) == 16
    with pytest.raises(Unavailable):
        lab.client().issue_ticket(hospital, "P:new")


def test_the_directory_is_followed(lab: CloudLab) -> None:
    lists, cloud = lab.member("H:follows").lists, lab.client()
    lab.doctor("D:follows")
    with cloud.watch(lists) as changes:
        sequence = lists.follow(next(changes), cloud.bundles_after, cloud.all_shards).sequence
        [serial] = lab.node.revoke("D:follows")
        following = lists.follow(next(changes), cloud.bundles_after, cloud.all_shards)
        assert following.sequence > sequence
        with pytest.raises(CredentialRevoked):
            following.require_serial_good(serial)
