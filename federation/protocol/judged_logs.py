"""The kinds of evidence that are heads of logs: accesses below one, a time stamp over one, two that contradict each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from federation.errors import (
    FieldInvalid,
    HeadNotCosigned,
    HeadOlder,
    IdentityMismatch,
    LeafMismatch,
    LogProofInvalid,
    MissingField,
    SignatureInvalid,
)
from federation.protocol.access_log import GROUND_NAMES, KIND_NAMES, event_of
from federation.protocol.exhibit import Exhibit
from federation.protocol.judging import Case, cloud_key_words, issuer_words, moment, stated_at, words_of
from federation.protocol.log_head import LogHead, Origin, cosigner_key_id, open_head, peek_head, require_cosigned
from federation.protocol.log_leaf import access_leaf
from federation.protocol.merkle import leaf_hash, require_consistent, require_included
from federation.protocol.notes import read_note
from federation.protocol.parsing import parse
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant
from federation.protocol.time_stamps import peek_stamp, verify_stamp
from federation.v1.access_pb2 import AccessEntry
from federation.v1.log_pb2 import GetTimeStampResponse
from federation.v1.statement_pb2 import ROLE_HOSPITAL, KeyStatement, SignedStatement
from keystore.identities import PatientId, is_identity
from keystore.signatures import VerifyingKey
from keystore.transcript import digest

ACCESS = "access"
"""The kind of what a log told its patient, with what proves it."""

LOG_FORK = "log-fork"
"""The kind of two heads of one log that do not follow each other."""

LOG_TIME = "log-time"
"""The kind of a head and a time stamp over a later one of the same log, which goes on from it."""

OF_LOGS = (ACCESS, LOG_FORK, LOG_TIME)
"""The kinds that are heads of logs."""

_FORK_NAMES = {"known", "known_key_statement", "known_key_statement_signature", "shown"}
_TIME_NAMES = {
    "head",
    "stamped",
    "stamped_key_statement",
    "stamped_key_statement_signature",
    "consistency",
    "time_stamp",
}
_HASH_BYTES = 32
_ENTRY, _WITNESS, _SIGNATURE = "entry-", "witness-", "_signature"


def fork_exhibit(
    party_id: str,
    known: bytes,
    shown: bytes,
    key_statement: SignedStatement | None,
    known_key_statement: SignedStatement | None = None,
) -> Exhibit:
    """Make an exhibit of two notes of one log, and the statements of the keys that signed them.

    Raises NoteMalformed.
    """
    note = read_note(shown)
    openings = {"known": known, "shown": shown}
    if known_key_statement is not None and known_key_statement != key_statement:
        openings["known_key_statement"] = known_key_statement.statement
        openings["known_key_statement_signature"] = known_key_statement.signature
    signature = note.signatures[0].signature
    return Exhibit(LOG_FORK, party_id, note.text, signature, key_statement=key_statement, openings=openings)


def access_openings(
    patient_id: PatientId, note: bytes, entries: Mapping[int, bytes], witnesses: list[SignedStatement]
) -> dict[str, bytes]:
    """Return what an exhibit of accesses shows: whose they are, the note, each entry by its leaf, witnesses' statements."""
    shown = {"patient_id": patient_id.encode(), "note": note}
    shown |= {f"{_ENTRY}{leaf}": entry for leaf, entry in entries.items()}
    return shown | _witness_openings(witnesses)


def _witness_openings(witnesses: Iterable[SignedStatement]) -> dict[str, bytes]:
    shown = dict[str, bytes]()
    for number, signed in enumerate(witnesses, start=1):
        shown[f"{_WITNESS}{number}"] = signed.statement
        shown[f"{_WITNESS}{number}{_SIGNATURE}"] = signed.signature
    return shown


def time_exhibit(
    party_id: str, head: bytes, key_statement: SignedStatement | None, stamp: GetTimeStampResponse
) -> Exhibit:
    """Make an exhibit of a log's head, and of a time stamp over the same or a later one. Raises NoteMalformed."""
    note = read_note(head)
    openings = {
        "head": authored(head),
        "stamped": stamp.note,
        "consistency": b"".join(stamp.consistency),
        "time_stamp": stamp.time_stamp,
        **_witness_openings(stamp.witness_key_statements),
    }
    if stamp.HasField("key_statement") and stamp.key_statement != key_statement:
        openings["stamped_key_statement"] = stamp.key_statement.statement
        openings["stamped_key_statement_signature"] = stamp.key_statement.signature
    signature = note.signatures[0].signature
    return Exhibit(LOG_TIME, party_id, note.text, signature, key_statement=key_statement, openings=openings)


def authored(note: bytes) -> bytes:
    """Return a note with its first line alone, which is its author's: the bytes that are stamped. Raises NoteMalformed."""
    found = read_note(note)
    return found.text + b"\n" + found.signatures[0].line()


def judge_accesses(case: Case) -> Iterator[str]:
    """Judge what a log told its patient. Raises Authentication, MalformedMessage."""
    note = case.opening("note")
    looked_at = partial(_require_only, case, {"patient_id", "note"}, witnesses=True, entries=True)
    case.check("openings", "nothing is shown but what is looked at", looked_at)  # judge.9
    head, since = case.check(
        "head",
        "the head of the log, by the key of whose log it is",
        partial(_head, case, note, case.exhibit.key_statement),
    )
    case.check(
        "signature", "the signature under that head is the one of the exhibit", partial(_require_first, case, note)
    )
    lines = case.check("cosignatures", "each cosignature under the head", partial(_cosignatures, case, note))
    patient_id = case.check("patient", "whose accesses they are", partial(_patient, case))
    case.about = patient_id
    words = "the entry is what the log has at its leaf"
    names = sorted(name for name in case.exhibit.openings if name.startswith(_ENTRY))
    told = [case.check(name, words, partial(_told, case, head, name)) for name in names]
    if not told:
        raise MissingField("the exhibit shows no entry")
    yield f"{case.exhibit.signer} signed the head of its log {head.origin} with {head.size} leaves, root {head.root.hex()}"
    if since:
        yield since
    yield from (f"cosigned by {witness_id} at {moment(at)}" for witness_id, at in lines)
    newest = max(parse(AccessEntry, case.opening(name)).at for name in names)
    yield from _witnessed(case, lines, max((at for _, at in lines), default=newest))
    yield from told
    case.refers += sorted(_grants_told(case, names))
    case.leaves_open.append("Whether the log has all that was done: what a node never writes, no log proves.")


def judge_fork(case: Case) -> Iterator[str]:
    """Judge two heads of one log. Raises Authentication, MalformedMessage."""
    known, shown = case.opening("known"), case.opening("shown")
    case.check(
        "openings", "nothing is shown but what is looked at", partial(_require_only, case, _FORK_NAMES)
    )  # judge.9
    earlier = case.shown_statement("known_key_statement") or case.exhibit.key_statement
    first, since = case.check(
        "known", "the head that was known, by the key of whose log it is", partial(_head, case, known, earlier)
    )
    second, _ = case.check(
        "shown", "the head that was shown later, by the same", partial(_head, case, shown, case.exhibit.key_statement)
    )
    case.check(
        "signature", "the signature under that head is the one of the exhibit", partial(_require_first, case, shown)
    )
    case.check(
        "contradiction", "the two heads contradict each other by themselves", partial(_require_fork, first, second)
    )
    yield (
        f"{case.exhibit.signer} signed two heads of its log {first.origin} with {first.size} leaves each and two roots: "
        f"{first.root.hex()} and {second.root.hex()}"
    )
    if since:
        yield since
    case.leaves_open.append("Which of the two is the true one; and when each was signed, for a head says no time.")


def judge_time(case: Case) -> Iterator[str]:
    """Judge a time stamp over a log's head. Raises Authentication, MalformedMessage, Unavailable."""
    head, stamped, stamp = case.opening("head"), case.opening("stamped"), case.opening("time_stamp")
    looked_at = partial(_require_only, case, _TIME_NAMES, witnesses=True)
    case.check("openings", "nothing is shown but what is looked at", looked_at)  # judge.9
    later_stated = case.shown_statement("stamped_key_statement") or case.exhibit.key_statement
    first, since = case.check(
        "head",
        "the head of the log, by the key of whose log it is",
        partial(_head, case, head, case.exhibit.key_statement),
    )
    case.check(
        "signature", "the signature under that head is the one of the exhibit", partial(_require_first, case, head)
    )
    case.check("lines", "the head has the line of its author alone", partial(_require_alone, head))  # judge.9
    later, _ = case.check(
        "stamped", "the head that was stamped, by the same", partial(_head, case, stamped, later_stated)
    )
    lines = case.check("cosignatures", "each cosignature under that head", partial(_cosignatures, case, stamped))
    case.check("consistency", "the stamped head goes on from that one", partial(_require_later, case, first, later))
    said = case.check("form", "the time stamp can be read", partial(peek_stamp, stamp))
    yield (
        f"{case.exhibit.signer} signed the head of its log {first.origin} with {first.size} leaves, root {first.root.hex()}, "
        f"and one of {later.size} leaves that goes on from it"
    )
    if since:
        yield since
    yield from (f"that one is cosigned by {witness_id} at {moment(at)}" for witness_id, at in lines)
    if not case.stampers:
        yield from _witnessed(case, lines, max((at for _, at in lines), default=said.latest))
        case.leaves_open.append(
            f"When: a time stamp says by {moment(said.latest)}, but it was not looked at. Give the certificate of "
            f"{said.authority} with --tsa."
        )
        return
    found = case.check(
        "time-stamp",
        "the time stamp over that head, by an authority that you trust",
        partial(verify_stamp, stamp, authored(stamped), case.stampers),
    )  # judge.16
    case.there_by = found.latest
    yield from _witnessed(case, lines, found.latest)
    case.refers.append((digest(case.exhibit.signature), "it dates the head of"))
    yield f"{found.authority} says that all of this was there by {moment(found.latest)}, and every entry below that head"
    case.leaves_open.append("How long before: a time stamp says until when something was there, not since when.")


def _head(case: Case, note: bytes, signed: SignedStatement | None) -> tuple[LogHead, str]:
    """Return a head of the signer's log, and what became of its key since."""
    origin = Origin.read(peek_head(note).origin)
    if origin != Origin.of(case.anchors.realm, case.exhibit.signer, origin.number):
        raise IdentityMismatch("this is the head of somebody else's log")  # judge.11
    if case.exhibit.signer != case.anchors.cloud_id:
        party = case.party_of(signed, (ROLE_HOSPITAL,), case.exhibit.signer, stated_at(signed))
        return open_head(note, str(origin), party.key), issuer_words(case.anchors, party.issuer_public_key)
    if signed is not None:
        raise FieldInvalid("the public cloud has no key statement")
    for period in case.anchors.cloud_keys.periods:
        key = VerifyingKey(period.verifying_key)
        try:
            return open_head(note, str(origin), key), cloud_key_words(case.anchors, key)
        except SignatureInvalid:
            continue
    raise SignatureInvalid("no PUK_C of the trust bundle has signed this head")


def _require_first(case: Case, note: bytes) -> None:
    found = read_note(note)
    if found.text != case.exhibit.signed or found.signatures[0].signature != case.exhibit.signature:
        raise SignatureInvalid("the note is not what the exhibit says that was signed")
    if case.exhibit.message or case.exhibit.certificate or case.exhibit.encryption_key_statement is not None:
        raise FieldInvalid("a head needs nothing else beside it")


def _cosignatures(case: Case, note: bytes) -> list[tuple[str, int]]:
    """Return who cosigned, and when: each line that is not its author's has to be one of a witness, and hold."""
    found = read_note(note)
    origin, keys = Origin.read(peek_head(note).origin), _witnesses(case)
    by_line = {(origin.name_of(it), cosigner_key_id(origin.name_of(it), key)): (it, key) for it, key in keys}
    cosigned = []
    for line in found.signatures[1:]:
        if (line.name, line.key_id) not in by_line:
            raise SignatureInvalid("a cosignature is of nobody whose key is shown")  # judge.13
        witness_id, key = by_line[line.name, line.key_id]
        (cosignature,) = require_cosigned(note, [line.line()], [(witness_id, key)], 1)  # judge.13
        cosigned.append((cosignature.witness_id, cosignature.at))
    return cosigned


def _witnessed(case: Case, lines: Sequence[tuple[str, Instant]], at: Instant) -> Iterator[str]:
    """Say whether as many have cosigned a head as the policy of then asks for: told, for the head is its author's word anyway."""
    try:
        counted = case.anchors.witnesses.at(at).require_met((it for it, _ in lines), case.exhibit.signer)
    except HeadNotCosigned as error:
        case.witnessed = False
        case.leaves_open.insert(
            0, f"Whether others saw this log: NOT WITNESSED, {error} by the policy of {moment(at)}."
        )
    else:
        case.witnessed = True
        yield f"WITNESSED by {', '.join(counted)}: as many as the federation's policy of {moment(at)} asks for"


def _witnesses(case: Case) -> list[tuple[str, VerifyingKey]]:
    keys = [(case.anchors.cloud_id, VerifyingKey(it.verifying_key)) for it in case.anchors.cloud_keys.periods]
    for name, statement in case.exhibit.openings.items():
        if name.startswith(_WITNESS) and not name.endswith(_SIGNATURE):
            signed = SignedStatement(statement=statement, signature=case.opening(name + _SIGNATURE))
            says = peek_statement(KeyStatement, signed)
            party = case.party_of(signed, (ROLE_HOSPITAL,), says.identity, says.stated_at)
            keys.append((party.identity, party.key))
    return keys


def _patient(case: Case) -> PatientId:
    found = words_of(case.opening("patient_id"))
    if not is_identity("patient", found):
        raise FieldInvalid("this is no patient")
    return PatientId(found)


def _told(case: Case, head: LogHead, name: str) -> str:
    entry, patient_id = parse(AccessEntry, case.opening(name)), _patient(case)
    if name != f"{_ENTRY}{entry.leaf_index}":
        raise FieldInvalid("an entry is shown under another leaf")
    leaf = access_leaf(event_of(entry, patient_id), case.exhibit.signer, entry.at, entry.blind)
    try:
        require_included(leaf_hash(leaf), entry.leaf_index, head.size, entry.inclusion, head.root)  # judge.12
    except LogProofInvalid as error:
        raise LeafMismatch("an entry is not what the log has at its place") from error
    return (
        f"leaf {entry.leaf_index}: {KIND_NAMES[entry.kind]} by {entry.asker_id} of {patient_id}, department class "
        f"{entry.department_class}, on the ground: {GROUND_NAMES[entry.ground]}; written {moment(entry.at)} as {entry.reason}"
    )


def _grants_told(case: Case, names: list[str]) -> set[tuple[bytes, str]]:
    """Return the grants by which something was done, as these entries tell."""
    entries = [parse(AccessEntry, case.opening(name)) for name in names]
    return {
        (entry.grant_digest, "something of it was done by the consent of") for entry in entries if entry.grant_digest
    }


def _require_fork(first: LogHead, second: LogHead) -> None:
    if first.origin != second.origin:
        raise HeadOlder("they are of two logs of the same node")  # judge.14
    if first.size != second.size:
        raise LogProofInvalid(
            "two heads of different sizes contradict each other with the log's own silence alone"
        )  # judge.14
    if first.root == second.root:
        raise LogProofInvalid("they say the same")  # judge.14


def _require_alone(note: bytes) -> None:
    if len(read_note(note).signatures) != 1:
        raise FieldInvalid("a line is shown that nobody looks at")


def _require_later(case: Case, first: LogHead, later: LogHead) -> None:
    proof = case.opening("consistency")
    if first.origin != later.origin:
        raise HeadOlder("they are of two logs of the same node")  # judge.15
    if len(proof) % _HASH_BYTES:
        raise FieldInvalid("a proof is hashes of 32 bytes")  # judge.15
    hashes = [proof[at : at + _HASH_BYTES] for at in range(0, len(proof), _HASH_BYTES)]
    require_consistent(first.tree, later.tree, hashes)  # judge.15


def _require_only(case: Case, known: set[str], *, witnesses: bool = False, entries: bool = False) -> None:
    """Require that nothing is shown but this, and statements of witnesses and entries where there are such."""
    names = set(case.exhibit.openings)
    stated = {it for it in names if it.startswith(_WITNESS) and not it.endswith(_SIGNATURE)}
    if witnesses:
        known = known | stated | {it + _SIGNATURE for it in stated}
    others = [it for it in names - known if not (entries and it.startswith(_ENTRY))]
    if others:
        raise FieldInvalid(f"a {case.exhibit.kind} shows no {min(others)}")
