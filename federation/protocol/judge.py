"""What a judge makes of exhibits, with the trust bundle and nothing else (docs/protocol.md, 7, Evidence).

Pure, and offline: no list is fresh here. A key that was revoked later does not undo what it signed before; that it was is said
beside. What a signature can't prove, its time above all, is said with what it proves.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from cryptography import x509
from google.protobuf.message import Message

from federation.errors import AnswerMismatch, CredentialInvalid, FederationError, FieldInvalid, IdentityMismatch
from federation.protocol.anchors import Anchors
from federation.protocol.doctor_certificate import authority_id_of
from federation.protocol.exhibit import KeptExhibit, without_unsigned
from federation.protocol.judged_kinds import KINDS, Kind
from federation.protocol.judged_logs import ACCESS, LOG_FORK, LOG_TIME, judge_accesses, judge_fork, judge_time
from federation.protocol.judging import (
    Case,
    Check,
    Judgement,
    cloud_key_words,
    fields_of,
    issuer_words,
    moment,
    stated_at,
)
from federation.protocol.statements import verify_signature
from federation.v1.consultation_pb2 import BiosignalDelivery, ConsultationOpening, ConsultationReply
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from federation.v1.record_pb2 import RecordEnd, RecordOpening, RecordReply
from federation.v1.search_pb2 import SearchAnswer, SearchQuery
from federation.v1.statement_pb2 import ROLE_DOCTOR
from keystore.signatures import VerifyingKey
from keystore.transcript import digest

_LOGS = {ACCESS: judge_accesses, LOG_FORK: judge_fork, LOG_TIME: judge_time}
JUDGED = (*KINDS, *_LOGS)
"""Every kind that there is."""

MESSAGES: dict[str, type[Message]] = {
    "P1": ConsultationOpening,
    "D1": ConsultationReply,
    "P2": BiosignalDelivery,
    "D2": SearchQuery,
    "C": SearchAnswer,
    "D3": RecordOpening,
    "H1": RecordReply,
    "H2": RecordEnd,
    "D5": DiagnosisDelivery,
    "P6": DiagnosisReceipt,
}
"""What the message of a kind is, where it is more than what was signed."""
_SENDERS = {"P1": "patient_id", "D1": "doctor_id", "D2": "asker_id", "D3": "asker_id", "H1": "hospital_id"}
"""The field in which a message says who sends it."""

_SESSIONS = {("D5", "D1"), ("H2", "H1")}
_TIME = "That it was signed then: the time is its signer's own word."
_REVOKED = "That the credential was not revoked by then: the bundle names revoked keys of the cloud, no credentials."


def judge(kept: Sequence[KeptExhibit], anchors: Anchors, stampers: Sequence[x509.Certificate] = ()) -> list[Judgement]:
    """Judge exhibits, each for itself, then what they say of each other.

    `stampers` are the certificates of the authorities whose time stamps the judge believes; without any, he is told no time.
    """
    cases = [Case(one.exhibit, one.reference, anchors.for_evidence, stampers) for one in kept]
    return _together([_judged(number, case) for number, case in enumerate(cases, start=1)])


def _judged(number: int, case: Case) -> Judgement:
    exhibit = case.exhibit
    proves: tuple[str, ...] = ()
    try:
        proves = tuple(_proved(case))
    except FederationError as error:
        if not any(check.reason for check in case.checks):
            case.checks.append(Check("content", "what it says can be read", error.reason, str(error)))
    return Judgement(
        number=number,
        kind=exhibit.kind,
        signer=exhibit.signer,
        checks=tuple(case.checks),
        proves=proves,
        leaves_open=tuple(case.leaves_open),
        name=digest(exhibit.signature),
        refers=tuple(case.refers),
        session=case.session,
        about=case.about,
        statement=case.statement,
        there_by=case.there_by,
        witnessed=case.witnessed,
    )


def _proved(case: Case) -> Iterator[str]:
    case.check("kind", "it is of a kind that this version judges", partial(_require_kind, case))  # judge.2
    if case.exhibit.kind in _LOGS:
        yield from _LOGS[case.exhibit.kind](case)
        return
    kind = KINDS[case.exhibit.kind]
    case.fields = case.check(  # judge.3
        "form",
        "what was signed has the form of its kind",
        lambda: fields_of(kind.label, kind.count, case.exhibit.signed),
    )
    case.at = case.check("time", "it says when it was signed", lambda: kind.signed_at(case))
    key, since = case.check("key", "the signer's key, as of then", partial(_key, case, kind))  # judge.4
    case.check(  # judge.5
        "signature",
        "the signature over what was signed",
        lambda: verify_signature(key, case.exhibit.signature, case.exhibit.signed),
    )
    authority = case.check(
        "certificate", "a doctor's Cert_D is the registered one", partial(_certificate, case)
    )  # judge.6
    case.check(
        "encryption-key", "the signer's encryption key, where it is shown", partial(_encryption_key, case)
    )  # judge.7
    case.check("message", "message and openings say what was signed", partial(_require_again, case, kind))  # judge.8
    proves = list(kind.proves(case))
    yield from proves
    if authority:
        yield f"{case.exhibit.signer} was certified by {authority}"
    if since:
        yield f"it was signed before that became untrue: {since}"
    case.leaves_open += [_TIME, *([_REVOKED] if kind.roles else []), *kind.leaves_open]


def _require_kind(case: Case) -> None:
    if case.exhibit.kind not in JUDGED:
        raise FieldInvalid(f"nothing here judges the kind {case.exhibit.kind!r}")


def _key(case: Case, kind: Kind) -> tuple[VerifyingKey, str]:
    """Return whose key it has to be, and what became of it since."""
    exhibit = case.exhibit
    if not kind.roles:
        if exhibit.signer != case.anchors.cloud_id or exhibit.key_statement is not None:
            raise IdentityMismatch("only the public cloud signs this, and it has no key statement")
        key = case.anchors.cloud_key_at(case.at)
        return key, cloud_key_words(case.anchors, key)
    # What is handed on long after it was made is shown beside a key statement of then.
    at = max(case.at, stated_at(exhibit.key_statement)) if kind.is_statement else case.at
    case.signer = case.party_of(exhibit.key_statement, kind.roles, exhibit.signer, at)
    return case.signer.key, issuer_words(case.anchors, case.signer.issuer_public_key)


def _certificate(case: Case) -> str:
    """Require Cert_D to be the one in a doctor's credential; return its authority, where the bundle still names it."""
    certificate = case.exhibit.certificate
    if case.signer is None or case.signer.role != ROLE_DOCTOR:
        if certificate:
            raise CredentialInvalid("only a doctor has a Cert_D")
        return ""
    if case.signer.attribute != digest(certificate):
        raise CredentialInvalid("the credential was issued for another Cert_D")
    return authority_id_of(certificate, case.anchors.authorities)


def _encryption_key(case: Case) -> None:
    signed = case.exhibit.encryption_key_statement
    if signed is not None:
        case.encryption_key_of(signed, case.party)


def _require_again(case: Case, kind: Kind) -> None:
    others = set(case.exhibit.openings) - kind.openings
    if others:
        raise FieldInvalid(f"a {case.exhibit.kind} does not show {min(others)}")  # judge.9
    if without_unsigned(case.exhibit.kind, case.exhibit.message) != case.exhibit.message:
        raise FieldInvalid("the message shows what no signature covers")  # judge.9
    if kind.again(case) != case.exhibit.signed:
        raise AnswerMismatch("the message says something else than what was signed")
    if (message_type := MESSAGES.get(case.exhibit.kind)) is not None:
        message = case.read(message_type)
        _require_beside(case, message)
        sender = _SENDERS.get(case.exhibit.kind)
        if sender is not None and getattr(message, sender) != case.exhibit.signer:
            raise IdentityMismatch("the message names somebody else than its signer")  # judge.17


def _require_beside(case: Case, message: Message) -> None:
    """Require what the message has of the signer, and no signature covers, to be what the exhibit has."""
    exhibit = case.exhibit
    beside = {
        "signature": exhibit.signature,
        "doctor_certificate": exhibit.certificate,
        "key_statement": exhibit.key_statement,
        "encryption_key_statement": exhibit.encryption_key_statement,
    }
    for name, shown in beside.items():
        if name in message.DESCRIPTOR.fields_by_name and getattr(message, name) != shown:
            raise AnswerMismatch(f"the message has another {name} than the exhibit")


def _together(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Say of exhibits that hold which of the others they name, of which session they are, and when they were there."""
    holding = [it for it in judgements if it.holds]
    return [
        it.with_proof(*_named(it, holding), *_in_session(it, holding), *_dated(it, holding)) if it.holds else it
        for it in judgements
    ]


def _named(it: Judgement, holding: Sequence[Judgement]) -> Iterator[str]:
    for name, words in it.refers:
        for other in holding:
            if name in (other.name, other.statement) and other is not it:
                about = f", about {other.about}" if other.kind == "P2" else ""
                yield f"{words} exhibit {other.number}{about}"


def _dated(it: Judgement, holding: Sequence[Judgement]) -> Iterator[str]:
    """Say until when an exhibit was there: by a stamp over its head, or by what a dated log tells that was done by it."""
    if it.kind != LOG_TIME:
        for stamp, told in _stamped(holding):
            if it is told:
                yield f"by the time stamp of exhibit {stamp.number}, all of it was written by {moment(stamp.there_by)}"
            elif it.statement and it.statement in (name for name, _ in told.refers):
                words = f"by the time stamp of exhibit {stamp.number} over the log of exhibit {told.number}"
                yield f"{words}, it was there by {moment(stamp.there_by)}"


def _stamped(holding: Sequence[Judgement]) -> Iterator[tuple[Judgement, Judgement]]:
    for stamp in holding:
        if stamp.there_by:
            yield from ((stamp, told) for told in holding if told.kind == ACCESS and told.name == stamp.name)


def _in_session(it: Judgement, holding: Sequence[Judgement]) -> Iterator[str]:
    """Say who opened the session in which this was signed: by the same party, for anybody can name a session."""
    for other in holding:
        if (it.kind, other.kind) in _SESSIONS and (it.session, it.signer) == (other.session, other.signer):
            yield f"it was signed in the session of exhibit {other.number}, whose opening names {other.about}"
