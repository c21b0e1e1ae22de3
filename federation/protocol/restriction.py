"""What a patient hides: the statement "restrict", and the messages that carry it (docs/protocol.md, section 5).

rst and rstack go between the patient, or a deputy, and the public cloud; rstget and rstdue between a hospital and the cloud. A
restriction has no end: it is held against its signer's credential, and a deputy's powers, as they were when it was signed, so
that what is hidden stays hidden whatever becomes of either. Every hospital verifies it by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.errors import (
    AnswerMismatch,
    FieldInvalid,
    IdentityMismatch,
    MalformedMessage,
    RestrictionInvalid,
    SignatureInvalid,
)
from federation.protocol import access
from federation.protocol.access import Hidden, Policy, Standing
from federation.protocol.consent import deputyship_digest, open_deputyship
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party
from federation.protocol.sealing import Context, after_opening, open_payload, seal_reply
from federation.protocol.shown import require_shown_deputy, stating_role
from federation.protocol.statements import (
    open_statement,
    peek_statement,
    sign_statement,
    signed_digest_or_empty,
    verify_signature,
)
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier, role_of
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Deputyship
from federation.v1.envelope_pb2 import SealedReply
from federation.v1.restrictions_pb2 import (
    DueRestriction,
    DueRestrictions,
    HeldRestriction,
    RestrictionAnswer,
    RestrictionCall,
    RestrictionsFetch,
    ShownRestriction,
)
from federation.v1.statement_pb2 import EncryptionKeyStatement, SignedStatement
from keystore.encryption import DecryptionKey
from keystore.identities import ANY, PatientId
from keystore.signatures import SigningKey
from keystore.transcript import digest, transcript, u64

MOST_DUE = 16
"""Restrictions that one rstdue holds."""


@dataclass(frozen=True)
class Restriction:
    """What a restriction says. Nothing stated is nothing hidden, under the number 0."""

    patient_id: PatientId
    number: int = 0
    hidden: Sequence[Hidden] = ()
    emergency_overrides: bool = False
    signer_id: str = ""
    stated_at: Instant = 0


def make_restriction(
    signer: Party, wanted: Restriction, *, above: int, now: Instant, deputyship: Deputyship | None = None
) -> SignedStatement:
    """Sign what is hidden from now on, under a number above the one that stands. Raises MalformedMessage for too much of it."""
    restriction = pb.Restriction(
        patient_id=wanted.patient_id,
        signer_id=signer.identity,
        signer_serial=signer.self_.serial,
        deputyship_digest=None if deputyship is None else deputyship_digest(deputyship),
        # By the time of day it stays above what a cloud that lost its newest rows has forgotten, and hospitals have not.
        number=max(above + 1, now),
        hidden=map(_written, wanted.hidden),
        emergency_overrides=wanted.emergency_overrides,
        stated_at=now,
    )
    return sign_statement("restrict", restriction, signer.signing_key)


def read_restriction(restriction: pb.Restriction) -> Restriction:
    """Return what a restriction says."""
    return Restriction(
        patient_id=PatientId(restriction.patient_id),
        number=restriction.number,
        hidden=tuple(map(_read, restriction.hidden)),
        emergency_overrides=restriction.emergency_overrides,
        signer_id=restriction.signer_id,
        stated_at=restriction.stated_at,
    )


def open_restriction(shown: ShownRestriction, verifier: Verifier, *, now: Instant) -> Restriction:
    """Verify that the patient, or a deputy with that power, signed it with a credential that held then.

    Raises RestrictionInvalid, FutureDated, DeputyInvalid, DeputyExpired, DeputyPowers, Authentication, MalformedMessage.
    """
    at = _peeked(shown).stated_at
    signer = verifier.party_then(shown.key_statement, pb.ROLE_PATIENT, at=at)  # restrict.1
    restriction = _opened(shown.restriction, signer)
    if (restriction.signer_id, restriction.signer_serial) != (signer.identity, signer.serial):
        raise RestrictionInvalid("the restriction is another's, or of another registration")  # restrict.3
    shown_digest = deputyship_digest(shown.deputyship) if shown.HasField("deputyship") else b""
    if restriction.deputyship_digest != shown_digest:
        raise RestrictionInvalid("the restriction was signed by another deputyship than the one shown")  # restrict.4
    if shown.HasField("deputyship"):
        _require_deputy_then(shown.deputyship, restriction, verifier)
    elif restriction.signer_id != restriction.patient_id:
        raise RestrictionInvalid("another than the patient signed, and no deputyship is shown")  # restrict.6
    for newest in (restriction.stated_at, restriction.number):
        # Else whoever signs one of tomorrow keeps the patient from stating another until then.
        verifier.freshness.require_not_future(newest, now=now)  # restrict.7
    if any(one.HasField("handle") and one.hospital == ANY for one in restriction.hidden):
        raise RestrictionInvalid("a record is hidden without its hospital, whose name of it this is")  # restrict.8
    return read_restriction(restriction)


def peek_restriction(shown: ShownRestriction) -> Restriction:
    """Return what a restriction says, of which the signature was verified before it was kept. Raises MalformedMessage."""
    return read_restriction(peek_statement(pb.Restriction, shown.restriction))


def _peeked(shown: ShownRestriction) -> pb.Restriction:
    try:
        return peek_statement(pb.Restriction, shown.restriction)
    except MalformedMessage as error:
        raise RestrictionInvalid("what is shown is no restriction") from error  # restrict.2


def _opened(signed: SignedStatement, signer: VerifiedParty) -> pb.Restriction:
    try:
        return open_statement("restrict", pb.Restriction, signed, signer.key)
    except SignatureInvalid as error:
        raise RestrictionInvalid("the restriction does not bear its signer's signature") from error  # restrict.2


def _require_deputy_then(shown: Deputyship, restriction: pb.Restriction, verifier: Verifier) -> None:
    """Require that the signer stood for the patient when it signed: what became of the deputyship since is of no matter."""
    at = restriction.stated_at
    opened = open_deputyship(shown, verifier.party_then(shown.key_statement, stating_role(shown), at=at))
    patient_id, deputy_id = restriction.patient_id, restriction.signer_id
    policy = Policy(milliseconds(verifier.freshness.skew))
    # restrict.5
    access.require_deputy(opened, patient_id, deputy_id, pb.POWER_RESTRICT, Standing(), policy, now=at)


def _written(hidden: Hidden) -> pb.HiddenRecords:
    handle = None if hidden.handle == ANY else bytes.fromhex(hidden.handle)
    return pb.HiddenRecords(hospital=hidden.hospital, department_class=hidden.department_class, handle=handle)


def _read(hidden: pb.HiddenRecords) -> Hidden:
    handle = hidden.handle.hex() if hidden.HasField("handle") else ANY
    return Hidden(hidden.hospital, hidden.department_class, handle)


def restricting_role(sender_id: str) -> "pb.Role.ValueType":
    """Return the role of who may send rst: a patient. Raises CredentialInvalid."""
    return role_of(sender_id, (pb.ROLE_PATIENT,))  # rst.1


@dataclass(frozen=True, repr=False)
class Restricting:
    """rst holds, but for its replay key: for whom, what it states, or None where it asks, and to which key it is answered."""

    patient_id: PatientId
    stated: Restriction | None
    shown: ShownRestriction
    asker_key: EncryptionKey


def require_restricting(
    payload: RestrictionCall, sender: VerifiedParty, verifier: Verifier, *, now: Instant
) -> Restricting:
    """Require that this party may restrict for the patient, and that what it states holds.

    Raises Authorization, IdentityMismatch, FutureDated, Authentication, and Rejected for a false party behind a deputyship.
    """
    deputyship = payload.deputyship if payload.HasField("deputyship") else None
    if deputyship is not None:
        # rst.2
        require_shown_deputy(deputyship, payload.patient_id, sender, pb.POWER_RESTRICT, verifier, now=now)
    elif payload.patient_id != sender.identity:
        raise IdentityMismatch("these are another patient's records, and no deputyship is shown")  # rst.3
    key = verifier.encryption_key(payload.encryption_key_statement, sender, now=now)  # rst.4
    shown = ShownRestriction(key_statement=payload.key_statement, deputyship=deputyship)
    if payload.HasField("restriction") != payload.HasField("follows"):
        raise FieldInvalid("a restriction says which one it follows, and nothing else does")  # rst.5
    if not payload.HasField("restriction"):
        return Restricting(PatientId(payload.patient_id), None, shown, key)
    shown.restriction.CopyFrom(payload.restriction)
    stated = open_restriction(shown, verifier, now=now)  # rst.6
    if stated.patient_id != payload.patient_id:
        raise RestrictionInvalid("the restriction is about another patient")  # rst.7
    return Restricting(stated.patient_id, stated, shown, key)


@dataclass(frozen=True)
class Standings:
    """What stands, or None where nothing was ever stated; and how many hospitals have it, and still lack it."""

    shown: ShownRestriction | None
    hospitals_with: int
    hospitals_without: int


def answer_restricting(
    asked: Restricting, plaintext: bytes, standings: Standings, cloud_id: str, signing_key: SigningKey, *, now: Instant
) -> SealedReply:
    """Send rstack."""
    answer = RestrictionAnswer(
        call_digest=digest(plaintext),
        standing=standings.shown,
        hospitals_with=standings.hospitals_with,
        hospitals_without=standings.hospitals_without,
        sent_at=now,
    )
    answer.signature = signing_key.sign(_answer_transcript(answer))
    context = Context("rstack", cloud_id, asked.asker_key.owner, asked.asker_key.key_id, b"", now)
    return seal_reply(answer, asked.asker_key.encryption_key, context)


def _answer_transcript(answer: RestrictionAnswer) -> bytes:
    standing = answer.standing.restriction if answer.HasField("standing") else None
    counted = u64(answer.hospitals_with), u64(answer.hospitals_without)
    return transcript(
        "rstack", answer.call_digest, signed_digest_or_empty("restrict", standing), *counted, u64(answer.sent_at)
    )


def own_key(party: Party) -> DecryptionKey:
    """Return the key to the EK_X that a party shows now: an answer is sealed to it."""
    return party.keyring.find(peek_statement(EncryptionKeyStatement, party.encryption_key_statement).key_id)


@dataclass(frozen=True)
class Stating:
    """A restriction that is stated, and the number of what stood before: 0 for nothing."""

    restriction: SignedStatement
    follows: int


def ask_restricting(
    party: Party, patient_id: PatientId, stating: Stating | None, deputyship: Deputyship | None, nonce: bytes
) -> RestrictionCall:
    """Return rst, not signed yet: to state a restriction, or without one to ask what stands."""
    return RestrictionCall(
        patient_id=patient_id,
        restriction=None if stating is None else stating.restriction,
        follows=None if stating is None else stating.follows,
        deputyship=deputyship,
        key_statement=party.self_.key_statement,
        encryption_key_statement=party.encryption_key_statement,
        nonce=nonce,
    )


def receive_standings(
    reply: SealedReply, party: Party, call: RestrictionCall, plaintext: bytes, verifier: Verifier, *, now: Instant
) -> tuple[Standings, Restriction]:
    """Take rstack: what stands, verified, and what that says. Raises Rejected for a false answer."""
    check(reply)  # rstack.1
    verifier.freshness.require(reply.sent_at, now=now)  # rstack.2
    key = own_key(party)
    with after_opening():
        context = Context("rstack", verifier.anchors.cloud_id, party.identity, key.key_id, b"", reply.sent_at)
        answer = open_payload(RestrictionAnswer, reply.sealed, key, context).payload  # rstack.3
        cloud_key = verifier.anchors.cloud_key_at(answer.sent_at)  # rstack.4
        verify_signature(cloud_key, answer.signature, _answer_transcript(answer))  # rstack.5
        if answer.call_digest != digest(plaintext):
            raise AnswerMismatch("the answer is to another call")  # rstack.6
        nothing = Restriction(PatientId(call.patient_id))
        standing = (
            open_restriction(answer.standing, verifier, now=now) if answer.HasField("standing") else nothing
        )  # rstack.7
        if standing.patient_id != call.patient_id:
            raise AnswerMismatch("what stands is another patient's")  # rstack.8
        if call.HasField("restriction") and answer.standing.restriction != call.restriction:
            raise AnswerMismatch("what stands is not what was stated")  # rstack.9
    shown = answer.standing if answer.HasField("standing") else None
    return Standings(shown, answer.hospitals_with, answer.hospitals_without), standing


def ask_due(party: Party, held: Sequence[HeldRestriction], *, entropy: Entropy) -> RestrictionsFetch:
    """Return rstget, not signed yet."""
    return RestrictionsFetch(
        hospital_id=party.identity,
        held=held,
        encryption_key_statement=party.encryption_key_statement,
        nonce=entropy(16),
    )


def hospitals_key(
    payload: RestrictionsFetch, hospital: VerifiedParty, verifier: Verifier, *, now: Instant
) -> EncryptionKey:
    """Return the key that rstdue is sealed to. Raises Authentication."""
    return verifier.encryption_key(payload.encryption_key_statement, hospital, now=now)  # rstget.2


def answer_due(due: Sequence[DueRestriction], key: EncryptionKey, cloud_id: str, *, now: Instant) -> SealedReply:
    """Send rstdue."""
    context = Context("rstdue", cloud_id, key.owner, key.key_id, b"", now)
    return seal_reply(DueRestrictions(due=due, sent_at=now), key.encryption_key, context)


def receive_due(reply: SealedReply, party: Party, verifier: Verifier, *, now: Instant) -> Sequence[DueRestriction]:
    """Take rstdue. Each restriction in it is still to be verified. Raises Rejected for what is not for this hospital."""
    check(reply)  # rstdue.1
    verifier.freshness.require(reply.sent_at, now=now)  # rstdue.2
    key = own_key(party)
    with after_opening():
        context = Context("rstdue", verifier.anchors.cloud_id, party.identity, key.key_id, b"", reply.sent_at)
        return open_payload(DueRestrictions, reply.sealed, key, context).payload.due  # rstdue.3
