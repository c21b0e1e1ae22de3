"""What a log tells its patient: entries, their proofs, a head, and what is to be made of them by who remembers an older head."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from federation.errors import FederationError
from federation.protocol.access import AccessEvent
from federation.protocol.access_log import entry_of, prove, proved_head
from federation.protocol.log_head import LogHead, Origin, cosign, peek_head, sign_head
from federation.protocol.log_leaf import access_leaf
from federation.protocol.merkle import NodeReader, consistency_proof, leaf_hash, root
from federation.protocol.notes import read_note
from federation.protocol.told_log import KnownHead, LogAuthor, ToldLog, require_further, require_told, witnessed
from federation.protocol.verifier import Verifier
from federation.v1.access_pb2 import ACCESS_GROUND_OWN, ACCESS_KIND_STORE, AccessEntry, ProvedHead
from federation.v1.statement_pb2 import SignedStatement
from keystore.curve import ORDER
from keystore.identities import PatientId
from keystore.signatures import SigningKey, VerifyingKey
from tests.trees import reader_of
from tests.vectors.draws import Json
from tests.vectors.spec import sha256
from tests.vectors.world import World

SIZE, KNOWN = 13, 6
READ, REFUSED = 9, 4
"""The leaves that are about the patient: a reading, and what was refused before."""

Change = Callable[["Answer"], "Answer"]


@dataclass(frozen=True)
class Writer:
    """Whose log it is."""

    realm: str
    party_id: str
    key: SigningKey
    patient_id: PatientId
    now: int

    def origin(self, number: int = 1) -> str:
        """Which of its logs."""
        return str(Origin.of(self.realm, self.party_id, number))

    def event(self, index: int) -> AccessEvent:
        """What a leaf says of the patient."""
        if index == READ:
            digests = {"authorization": bytes(32), "grant_digest": bytes(range(32))}
            return AccessEvent(
                "READ", "D:chen", self.patient_id, "cardiology", reason="OK", ground="consent", **digests
            )
        return AccessEvent("SEARCH", "D:roe", self.patient_id, "*", b"", "none", "GRANT_MISSING")

    def at(self, index: int) -> int:
        """When it was written."""
        return self.now - 100 + index

    def leaves(self, fork: bytes = b"") -> list[bytes]:
        """The leaves' hashes: of others' entries, and of two about the patient."""
        return [
            self._leaf(index) if index in (READ, REFUSED) else sha256(b"leaf %d" % index + fork) for index in range(40)
        ]

    def _leaf(self, index: int) -> bytes:
        return leaf_hash(access_leaf(self.event(index), self.party_id, self.at(index), _blind(index)))

    def entry(self, index: int, number: int, read: NodeReader, size: int = SIZE) -> AccessEntry:
        """An entry about the patient, proved."""
        entry = entry_of(self.event(index), number=number, at=self.at(index), leaf_index=index, blind=_blind(index))
        prove(entry, size, read)
        return entry

    def note(self, size: int, read: NodeReader, number: int = 1) -> bytes:
        """A head."""
        return sign_head(LogHead(self.origin(number), size, root(size, read)), self.key)


@dataclass(frozen=True)
class Answer:
    """What a log tells, and what its patient remembers of it."""

    entries: tuple[AccessEntry, ...]
    head: ProvedHead
    known: bytes = b""
    older: int | None = None
    before: "Answer | None" = None


def _blind(index: int) -> bytes:
    return sha256(b"blind %d" % index)


def writer_of(world: World, party_id: str, key: Any) -> Writer:
    """A party of the vectors, as one who has a log."""
    return Writer(world.verifier.anchors.realm, party_id, key, PatientId(world.patient.identity), world.now)


def told(writer: Writer, witness: tuple[SigningKey, str, SignedStatement | None], known_size: int = 0) -> Answer:
    """A true answer, its head cosigned by this witness."""
    read = reader_of(writer.leaves())
    entries = writer.entry(READ, 2, read), writer.entry(REFUSED, 1, read)
    key, witness_id, statement = witness
    note = writer.note(SIZE, read)
    note += cosign(note, key, witness_id, writer.now)
    stated = [] if statement is None else [statement]
    known = writer.note(known_size, read) if known_size else b""
    return Answer(entries, proved_head(note, SIZE, known_size, read, stated), known)


def vectors(world: World) -> list[Json]:
    """Answers that are taken, and what is none."""
    hospital = writer_of(world, world.hospital.identity, world.hospital.signing_key)
    cloud = writer_of(world, world.cloud.identity, world.cloud.signing_key)
    by_cloud = world.cloud.signing_key, world.cloud.identity, None
    by_hospital = world.hospital.signing_key, world.hospital.identity, world.hospital.self_.key_statement
    first, later = told(hospital, by_cloud), told(hospital, by_cloud, KNOWN)
    of_cloud = told(cloud, by_hospital, KNOWN)
    found = [
        _vector("a first look", hospital, first, world),
        _vector("a later look", hospital, later, world),
        _vector("the same head again", hospital, told(hospital, by_cloud, SIZE), world),
        _vector("the public cloud's", cloud, of_cloud, world),
        _vector("nothing told", hospital, replace(later, entries=()), world),
        _vector("a cosignature that does not hold", hospital, replace(later, head=_spoilt(later.head)), world),
    ]
    read = reader_of(hospital.leaves())
    anew = proved_head(hospital.note(SIZE, read, 2), SIZE, 0, read)
    found.append(_vector("a log begun anew", hospital, replace(later, head=anew), world))
    wrong = _wrong(hospital, cloud, read)
    found += [_vector(name, hospital, change(later), world, reason) for name, reason, change in wrong]
    return found + [_vector(name, hospital, it, world, reason) for name, reason, it in _pages(hospital, first, read)]


def _pages(hospital: Writer, whole: Answer, read: NodeReader) -> list[tuple[str, str, Answer]]:
    """Further pages, each with the page before it; and first ones that say where older entries are."""
    newest, oldest = whole.entries
    forked = reader_of(hospital.leaves(b" rewritten"))
    first = replace(whole, entries=(newest,), older=READ)
    page = replace(whole, entries=(oldest,), before=first)
    changed = AccessEntry()
    changed.CopyFrom(oldest)
    changed.asker_id = "D:chen"
    third = hospital.entry(READ, 3, read)
    uncounted = hospital.entry(REFUSED, 2, read)

    def below(size: int, number: int = 1, by: NodeReader = read) -> ProvedHead:
        proof = consistency_proof(SIZE, size, by) if size > SIZE else []
        return ProvedHead(note=hospital.note(size, by, number), consistency=proof)

    def proved(size: int, by: NodeReader = read) -> tuple[AccessEntry]:
        return (hospital.entry(REFUSED, 1, by, size),)

    return [
        ("a first page", "success", first),
        ("a further page", "success", page),
        ("a further page, and more behind", "success", replace(page, older=REFUSED)),
        ("a further page of what was forgotten", "success", replace(page, entries=(), older=KNOWN)),
        ("a page that is left out between two", "success", replace(page, before=replace(first, entries=(third,)))),
        ("a page that is left out at the end", "success", replace(first, older=None)),
        ("a first page that leads to itself", "FIELD_INVALID", replace(first, older=READ + 1)),
        ("a further page that leads to itself", "FIELD_INVALID", replace(page, older=REFUSED + 1)),
        ("an empty page that leads to itself", "FIELD_INVALID", replace(page, entries=(), older=READ)),
        ("the first page again", "FIELD_INVALID", replace(page, entries=(newest,))),
        ("a page that was not asked for", "FIELD_INVALID", replace(page, before=replace(first, older=REFUSED))),
        ("a number again", "FIELD_INVALID", replace(page, entries=(uncounted,))),
        ("a page below a later head", "ANSWER_MISMATCH", replace(page, entries=proved(20), head=below(20))),
        ("a page below an earlier head", "HEAD_OLDER", replace(page, entries=proved(SIZE - 1), head=below(SIZE - 1))),
        ("a page of a fork", "HEAD_CONFLICT", replace(page, entries=proved(SIZE, forked), head=below(SIZE, by=forked))),
        ("a page of a log begun anew", "ANSWER_MISMATCH", replace(page, head=below(SIZE, 2))),
        ("another doctor on a further page", "LEAF_MISMATCH", replace(page, entries=(changed,))),
    ]


def _wrong(hospital: Writer, cloud: Writer, read: NodeReader) -> list[tuple[str, str, Change]]:
    forked = reader_of(hospital.leaves(b" rewritten"))
    other = replace(hospital, party_id="H:other"), replace(hospital, realm="another"), replace(hospital, key=cloud.key)

    def headed(writer: Writer, size: int = SIZE, number: int = 1, read: NodeReader = read) -> Change:
        proof = consistency_proof(KNOWN, size, read) if size >= KNOWN else []
        head = ProvedHead(note=writer.note(size, read, number), consistency=proof)
        return lambda answer: replace(answer, head=head)

    def fork(answer: Answer) -> Answer:
        entries = hospital.entry(READ, 2, forked), hospital.entry(REFUSED, 1, forked)
        return replace(headed(hospital, read=forked)(answer), entries=entries)

    def one_size(answer: Answer) -> Answer:
        return replace(fork(answer), known=hospital.note(SIZE, read))

    def from_two(answer: Answer) -> Answer:
        """A restored log that shows its former number again."""
        return replace(answer, known=hospital.note(KNOWN, read, 2))

    return [
        ("another party's", "IDENTITY_MISMATCH", headed(other[0])),
        ("another realm's", "IDENTITY_MISMATCH", headed(other[1])),
        ("another key's", "SIGNATURE_INVALID", headed(other[2])),
        ("no note", "NOTE_MALFORMED", _head(lambda head: setattr(head, "note", b"head\n"))),
        ("the other half of s", "SIGNATURE_INVALID", _head(_heightened)),
        ("another text below the signature", "SIGNATURE_INVALID", _head(_larger)),
        ("the oldest first", "FIELD_INVALID", lambda answer: replace(answer, entries=answer.entries[::-1])),
        ("an entry twice", "FIELD_INVALID", lambda answer: replace(answer, entries=answer.entries[:1] * 2)),
        ("numbers that go up where leaves do not", "FIELD_INVALID", _renumbered),
        ("another doctor", "LEAF_MISMATCH", _entry(asker_id="D:roe")),
        ("another time", "LEAF_MISMATCH", _entry(at=hospital.now)),
        ("another kind", "LEAF_MISMATCH", _entry(kind=ACCESS_KIND_STORE)),
        ("another class", "LEAF_MISMATCH", _entry(department_class="*")),
        ("another ground", "LEAF_MISMATCH", _entry(ground=ACCESS_GROUND_OWN)),
        ("another access", "LEAF_MISMATCH", _entry(authorization=bytes(31) + b"\1")),
        ("another outcome", "LEAF_MISMATCH", _entry(reason="GRANT_MISSING")),
        ("another grant", "LEAF_MISMATCH", _entry(grant_digest=bytes(32))),
        ("another blind", "LEAF_MISMATCH", _entry(blind=bytes(32))),
        ("another leaf", "LEAF_MISMATCH", _entry(leaf_index=READ + 1)),
        ("a leaf above the head", "LEAF_MISMATCH", _entry(leaf_index=SIZE)),
        ("a proof cut short", "LEAF_MISMATCH", _proof(lambda proof: proof.pop())),
        ("a proof with more behind it", "LEAF_MISMATCH", _proof(lambda proof: proof.append(bytes(32)))),
        (
            "a proof to another size",
            "LEAF_MISMATCH",
            lambda answer: replace(answer, entries=(hospital.entry(READ, 2, read, SIZE - 2), answer.entries[1])),
        ),
        ("a log cut back", "HEAD_OLDER", lambda answer: replace(headed(hospital, KNOWN - 1)(answer), entries=())),
        ("a log of a lower number", "HEAD_OLDER", from_two),
        ("a fork of one size", "HEAD_CONFLICT", one_size),
        ("a fork", "LOG_PROOF_INVALID", fork),
        ("without consistency", "LOG_PROOF_INVALID", _head(lambda head: head.ClearField("consistency"))),
        ("a consistency of other hashes", "LOG_PROOF_INVALID", _head(_swapped)),
    ]


def outcome(vector: Json, verifier: Verifier) -> tuple[str, ToldLog | None]:
    """What the code says: success and what was told, or why not."""
    head = ProvedHead.FromString(bytes.fromhex(vector["head"]))
    known = bytes.fromhex(vector["known_note"])
    key = VerifyingKey(bytes.fromhex(vector["verifying_key"]))
    author = LogAuthor(vector["realm"], vector["party_id"], key)
    try:
        remembered = KnownHead(peek_head(known), known) if known else None
        patient_id, before = PatientId(vector["patient_id"]), vector["before"]
        if before is None:
            checked = require_told(*_read(vector), patient_id, author, remembered, vector["older"])
        else:
            first = require_told(*_read(before), patient_id, author, None, before["older"])
            checked = require_further(*_read(vector), patient_id, author, first, vector["older"])
            assert checked.entries == (*_read(before)[0], *_read(vector)[0])
    except FederationError as error:
        return error.reason, None
    return "success", witnessed(checked, head, verifier, now=vector["now"])


def _read(answer: Json) -> tuple[list[AccessEntry], ProvedHead]:
    entries = [AccessEntry.FromString(bytes.fromhex(it)) for it in answer["entries"]]
    return entries, ProvedHead.FromString(bytes.fromhex(answer["head"]))


def _written(answer: Answer) -> Json:
    return {
        "entries": [entry.SerializeToString(deterministic=True).hex() for entry in answer.entries],
        "head": answer.head.SerializeToString(deterministic=True).hex(),
        "older": answer.older,
    }


def _vector(name: str, writer: Writer, answer: Answer, world: World, expect: str = "success") -> Json:
    vector: Json = {
        "name": name,
        "expect": expect,
        "now": world.now,
        "realm": writer.realm,
        "party_id": writer.party_id,
        "patient_id": writer.patient_id,
        "verifying_key": writer.key.verifying_key.data.hex(),
        "known_note": answer.known.hex(),
        **_written(answer),
        "before": None if answer.before is None else _written(answer.before),
    }
    said, told_ = outcome(vector, world.verifier)
    assert said == expect, f"{name}: the code says {said}, the vector {expect}"
    if told_ is not None:
        head = peek_head(answer.head.note)
        vector |= {"size": head.size, "root": head.root.hex(), "cosigners": list(told_.cosigners)}
        vector |= {"witnessed": told_.is_witnessed, "begins_anew": told_.begins_anew, "untold": told_.untold}
    return vector


def _entry(**fields: Any) -> Change:
    def change(answer: Answer) -> Answer:
        entry = AccessEntry()
        entry.CopyFrom(answer.entries[0])
        for name, value in fields.items():
            setattr(entry, name, value)
        return replace(answer, entries=(entry, answer.entries[1]))

    return change


def _renumbered(answer: Answer) -> Answer:
    """The older entry first, under the newer one's number: no leaf says its number."""
    newest, oldest = AccessEntry(), AccessEntry()
    newest.CopyFrom(answer.entries[1])
    oldest.CopyFrom(answer.entries[0])
    newest.number, oldest.number = oldest.number, newest.number
    return replace(answer, entries=(newest, oldest))


def _proof(bend: Callable[[Any], Any]) -> Change:
    def change(answer: Answer) -> Answer:
        entry = AccessEntry()
        entry.CopyFrom(answer.entries[0])
        bend(entry.inclusion)
        return replace(answer, entries=(entry, answer.entries[1]))

    return change


def _head(bend: Callable[[ProvedHead], Any]) -> Change:
    def change(answer: Answer) -> Answer:
        head = ProvedHead()
        head.CopyFrom(answer.head)
        bend(head)
        return replace(answer, head=head)

    return change


def _larger(head: ProvedHead) -> None:
    head.note = head.note.replace(b"\n%d\n" % SIZE, b"\n%d\n" % (SIZE + 1))


def _heightened(head: ProvedHead) -> None:
    note = read_note(head.note)
    own = note.signatures[0]
    r, s = decode_dss_signature(own.signature)
    other = replace(own, signature=encode_dss_signature(r, ORDER - s))
    head.note = note.text + b"\n" + other.line()


def _swapped(head: ProvedHead) -> None:
    head.consistency[0], head.consistency[1] = head.consistency[1], head.consistency[0]


def _spoilt(head: ProvedHead) -> ProvedHead:
    """The witness's line under another time."""
    spoilt = ProvedHead()
    spoilt.CopyFrom(head)
    line = head.note.rstrip(b"\n").rpartition(b"\n")[2]
    name, _, encoded = line.rpartition(b" ")
    signature = bytearray(b64decode(encoded))
    signature[11] ^= 1
    spoilt.note = head.note[: -len(line) - 1] + name + b" " + b64encode(bytes(signature)) + b"\n"
    return spoilt
