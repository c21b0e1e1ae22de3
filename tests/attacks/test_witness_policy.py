"""A log that wants few to look: the signed trust bundle says who counts and how many, and nobody else does (ADR 42)."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import BundleInvalid, BundleOutOfSequence, BundleRewritesHistory, BundleSignerUnknown
from federation.protocol.bundle import follow, issue_next
from federation.protocol.log_head import cosign
from federation.protocol.told_log import LogAuthor, ToldLog, require_told, witnessed
from federation.v1.directory_pb2 import TrustBundle, WitnessPolicy
from hsm import Pin, TokenUri
from keystore.identities import PatientId
from tests.log_lab import LogLab, log_lab
from tests.mallory import refused
from tests.policies import asking, stated
from tests.serving import SECONDS
from tests.simulator import Federation, simulated
from tests.unit.protocol.judging import writer_of
from tests.vectors.told import told

ALPHA = "H:alpha"
PATIENCE = timedelta(seconds=SECONDS)


@pytest.fixture(scope="module")
def shared_lab(make_token_uri: Callable[..., TokenUri], user_pin: Pin) -> Iterator[LogLab]:
    with simulated(make_token_uri, user_pin.reveal()) as federation, log_lab(federation) as made:
        yield made


@pytest.fixture
def logs(shared_lab: LogLab) -> LogLab:
    shared_lab.forget()
    return shared_lab


def test_head_with_one_cosignature_fewer_is_neither_believed_nor_enough_for_an_emergency(logs: LogLab) -> None:
    """The attack: a friend cosigns, and the others are never asked. Where one is asked for it succeeds."""
    node = logs[ALPHA]
    node.write("an emergency is declared")
    alone = node.cosigning("H:beta")
    assert alone.stand_by(PATIENCE)
    assert alone.own.newest_believed() is not None
    asked = node.cosigning("H:beta", cosignatures=2)
    assert not asked.push()
    assert not asked.stand_by(timedelta(milliseconds=1))
    assert asked.own.newest_believed() is None
    both = node.cosigning("H:beta", "C:union", cosignatures=2)
    assert both.stand_by(PATIENCE)
    assert both.own.newest_believed() == node.own.heads.newest()


def test_emergency_waits_for_every_cosignature_that_is_asked_for(logs: LogLab) -> None:
    node = logs[ALPHA]
    node.write("an emergency is declared")
    asked = node.cosigning("H:nowhere", "H:beta", "C:union", "H:gamma", cosignatures=3)
    assert asked.stand_by(PATIENCE)
    head = asked.own.heads.newest()
    assert head is not None
    assert asked.own.cosigners(head) == {"H:beta", "C:union", "H:gamma"}


def test_too_few_witnesses_are_an_alarm_and_no_smaller_number(logs: LogLab) -> None:
    """The attack: name one witness alone, so that one of one is all there is."""
    node = logs[ALPHA]
    node.write("read")
    asked = node.cosigning("H:beta", cosignatures=2)
    assert not asked.push()
    assert (asked.own.cosigned_at, asked.own.asked_at) == (None, logs.federation.clock.now)


def looked_at(
    federation: Federation, policy: WitnessPolicy, *, by_itself: bool = False, twice: bool = False
) -> ToldLog:
    """What a patient's device makes of a log that H:beta has cosigned, where the trust bundle has this policy."""
    writer, now = writer_of(federation), federation.clock.now
    hospital, other = federation.party(federation.hospital_a), federation.party(federation.hospital_b)
    witness = hospital if by_itself else other
    answer = told(writer, (witness.signing_key, witness.identity, witness.self_.key_statement))
    if twice:
        answer.head.note += cosign(answer.head.note, witness.signing_key, witness.identity, now + 1000)
        answer.head.witness_key_statements.append(answer.head.witness_key_statements[0])
    author = LogAuthor(writer.realm, ALPHA, hospital.self_.key)
    shown = require_told(answer.entries, answer.head, PatientId("P:wang"), author, None)
    verifier = federation.patient.verifier()
    return witnessed(shown, answer.head, replace(verifier, anchors=asking(federation.cloud.anchors, policy)), now=now)


@pytest.mark.parametrize(
    ("policy", "how", "is_witnessed"),
    [
        (stated(), {}, True),
        (stated(1, ["H:beta", "H:gamma"]), {}, True),
        (stated(2), {}, False),
        (stated(2), {"twice": True}, False),
        (stated(), {"by_itself": True}, False),
        (stated(1, ["H:gamma"]), {}, False),
        (stated(1, ["H:gamma", "H:delta"], public_cloud=False), {}, False),
    ],
    ids=["one", "named", "one fewer", "one twice", "its author", "withdrawn", "withdrawn, without the cloud"],
)
def test_patient_is_told_what_is_not_witnessed(
    logs: LogLab, policy: WitnessPolicy, how: dict[str, bool], is_witnessed: bool
) -> None:
    seen = looked_at(logs.federation, policy, **how)
    assert (seen.is_witnessed, seen.cosignatures) == (is_witnessed, policy.cosignatures)
    assert seen.entries


def test_policy_is_not_downgraded_by_an_old_bundle_or_by_a_new_one_that_rewrites(logs: LogLab) -> None:
    cloud = logs.federation.cloud
    before, key = cloud.bundle, cloud.keys.signing_key
    content = TrustBundle()
    content.CopyFrom(before.content)
    content.witness_policies.append(stated(2, not_before=before.content.issued_at + 1))
    raised = issue_next(before, content, key, now=before.content.issued_at + 1)
    assert raised.anchors.witnesses.newest.cosignatures == 2
    with refused(BundleOutOfSequence):
        follow(raised, before.signed)
    for policies, reason in [
        ([stated()], BundleRewritesHistory),
        ([stated(), stated(not_before=content.witness_policies[1].not_before)], BundleRewritesHistory),
        ([*content.witness_policies, stated(not_before=raised.content.issued_at + 9)], BundleInvalid),
        ([], BundleInvalid),
    ]:
        rewritten = TrustBundle()
        rewritten.CopyFrom(raised.content)
        del rewritten.witness_policies[:]
        rewritten.witness_policies.extend(policies)
        with refused(reason):
            issue_next(raised, rewritten, key, now=raised.content.issued_at + 1)
    with refused(BundleSignerUnknown):
        issue_next(raised, content, logs.federation.hospital_a.signing_key, now=raised.content.issued_at + 1)
