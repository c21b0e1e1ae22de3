"""What is stored and returned: one frozen dataclass for each kind of row.

Times, limits and what is sealed are as the package says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

RevocationKind = Literal["serial", "statement", "key", "sweep", "heard"]
StandingName = Literal["shown", "withdrawn", "erased"]


@dataclass(frozen=True)
class StoredStatement:
    """A statement's exact bytes and the signature over them."""

    statement: bytes
    signature: bytes


@dataclass(frozen=True)
class StoredEpoch:
    """An encryption key of an epoch.

    `token_label` names its halves in the token; `sealed_seed` is what the token does not hold, sealed at rest.
    """

    key_id: bytes
    token_label: str
    sealed_seed: bytes
    statement: StoredStatement
    not_after: int


@dataclass(frozen=True)
class LogEntry:
    """An entry of the append-only log, whose sequence counts from 1: the number of its leaf, which counts from 0, and one.

    `leaf` is the leaf's hash, 32 bytes. `sealed` is None where it was destroyed, its time being over.
    """

    sequence: int
    at: int
    entry_id: bytes
    leaf: bytes
    sealed: bytes | None


@dataclass(frozen=True)
class StoredHead:
    """A head of the log that was signed: the log's number, the tree's size and root, when, and the signed note."""

    number: int
    size: int
    root: bytes
    at: int
    note: bytes


@dataclass(frozen=True)
class StoredCosignature:
    """A witness's line under a head of the log."""

    number: int
    size: int
    witness_id: str
    line: bytes
    at: int


@dataclass(frozen=True)
class StoredTimeStamp:
    """A time stamp over a head of the log, KS of then (none of the public cloud), and when it came by the own clock."""

    number: int
    size: int
    note: bytes
    key_statement: bytes
    time_stamp: bytes
    at: int


@dataclass(frozen=True)
class About:
    """Whom an entry of the log is about: an HMAC of ID_P, and the generation of the index key that made it."""

    patient_key: bytes
    generation: int


@dataclass(frozen=True)
class StoredAccess:
    """That an entry of the log is about a patient."""

    patient_key: bytes
    sequence: int
    generation: int


@dataclass(frozen=True)
class Claim:
    """One patient more on a budget, such as "accesses/doctor/day", of a time that begins and ends then.

    `kind` is what the decision calls it. Who has the budget and who the patient is are HMACs under every index key there is, the
    active one's first. `most` patients fit.
    """

    kind: str
    budget: str
    who_keys: tuple[bytes, ...]
    patient_keys: tuple[bytes, ...]
    begins_at: int
    ends_at: int
    most: int


@dataclass(frozen=True)
class DeclaredHere:
    """An emergency in which something is given here: H(Emergency), what was shown, sealed, and when it was declared."""

    emergency_digest: bytes
    sealed: bytes
    declared_at: int


@dataclass(frozen=True)
class Piece:
    """A piece of evidence to be: its kind, what it belongs to, and the rest sealed."""

    kind: str
    reference: bytes
    sealed: bytes


@dataclass(frozen=True)
class Beside:
    """What is written with an entry of the log: claims on budgets, an emergency that is to be reviewed, and what proves it."""

    claims: tuple[Claim, ...] = ()
    emergency: DeclaredHere | None = None
    evidence: Piece | None = None

    @property
    def is_evidence_alone(self) -> bool:
        """Return whether nothing of it is decided on while it is written."""
        return not self.claims and self.emergency is None


NOTHING = Beside()


@dataclass(frozen=True)
class SealedEntry:
    """An entry of the log to be: when, and what, sealed; about which patient, if it is about one; and what goes with it.

    `entry_id` is 16 bytes that no other entry has, `leaf` the hash of the leaf that commits to what is sealed.
    """

    at: int
    sealed: bytes
    entry_id: bytes
    leaf: bytes
    about: About | None = None
    beside: Beside = NOTHING


@dataclass(frozen=True)
class Admission:
    """The replay key of a message that is taken now, and how long it is kept."""

    key: bytes
    now: int
    until: int


@dataclass(frozen=True)
class Act:
    """What is written in the transaction of a change beside it: the log's entry, and the replay key of who asked for it.

    So neither is there without the change: a log says nothing that was not done, and a message whose change was lost is new.
    """

    entry: SealedEntry
    admission: Admission | None = None


@dataclass(frozen=True)
class StoredEvidence:
    """A piece of evidence; its id was the digest of all the rest when it was added, and stays when it is sealed anew."""

    entry_id: bytes
    kind: str
    reference: bytes
    sealed: bytes
    at: int


@dataclass(frozen=True)
class Registration:
    """A live registration: what the public cloud keeps of a party. S_X is not among it; K_X is sealed (findings A5)."""

    role: str
    identity: str
    serial: bytes
    credential: bytes
    registration_point: bytes
    verifying_key: bytes
    key_statement: StoredStatement
    encryption_key_statement: StoredStatement
    sealed_shared_key: bytes
    not_before: int
    not_after: int
    address: str | None


@dataclass(frozen=True)
class Superseded:
    """A credential whose place another one took before its time was over."""

    serial: bytes
    not_after: int


@dataclass(frozen=True)
class Ticket:
    """Who may take an identity (A3). The store holds the ticket's SHA-256 alone."""

    digest: bytes
    role: str
    identity: str
    expires_at: int
    issued_by: str


class RowName(NamedTuple):
    """A row's bucket, key and id."""

    bucket: int
    row_key: bytes
    row_id: bytes


class RowOwner(NamedTuple):
    """One patient and one hospital, as its rows tell them."""

    bucket: int
    hospital_key: bytes


@dataclass(frozen=True)
class SealedRow:
    """A row of the blind index: all but the generation are HMACs and AES-GCM, so that the database names nobody (C5).

    `bucket` is 16 bits of the patient's pseudorandom value: what lies together, of one patient in 1,500 at 100 million.
    `hospital_key` is the same in all rows of one patient of one hospital, `level` in all of one patient of one sensitivity.
    `generation` says which generation of the index key they come from.
    """

    bucket: int
    row_key: bytes
    row_id: bytes
    hospital_key: bytes
    level: bytes
    sealed: bytes
    generation: int = 1

    @property
    def name(self) -> RowName:
        """Return what the row is called."""
        return RowName(self.bucket, self.row_key, self.row_id)

    @property
    def owner(self) -> RowOwner:
        """Return whose row it is: one patient's, of one hospital."""
        return RowOwner(self.bucket, self.hospital_key)


@dataclass(frozen=True)
class RowBound:
    """How many rows a patient may have of one hospital, and what it is called in them, one name a generation."""

    owners: Sequence[RowOwner]
    most: int


@dataclass(frozen=True)
class Unwanted:
    """Rows that are passed over: of this hospital, of this key, of one of these ids; what is None is any."""

    hospital_key: bytes | None = None
    row_key: bytes | None = None
    row_ids: Sequence[bytes] | None = None


@dataclass(frozen=True)
class Wanted:
    """Which rows of a patient are looked for: under these keys of a bucket, of these levels, of these hospitals unless of all."""

    bucket: int
    row_keys: Sequence[bytes]
    levels: Sequence[bytes]
    hospital_keys: Sequence[bytes] | None = None
    but: Sequence[Unwanted] = ()


class RowPlace(NamedTuple):
    """Where a row stands among those that are looked for: in which turn of its owner, and there by its name."""

    turn: int
    hospital_key: bytes
    row_key: bytes
    row_id: bytes


class RevocationChange(NamedTuple):
    """The newest state of an entry of the book: ended, or in it; `before` is a sweep's time, else 0."""

    digest: bytes
    before: int
    is_ended: bool
    revision: int


@dataclass(frozen=True)
class RevocationChanges:
    """What was touched in the book after a revision, up to its own. `is_whole`: all rows, whatever was at hand.

    `forgotten` is the newest revision of which an ended entry is no longer told.
    """

    revision: int
    forgotten: int
    changes: Sequence[RevocationChange]
    is_whole: bool


class KeptShard(NamedTuple):
    """A shard of the revocation list as a hospital keeps it: entries, and sweeps, one after another."""

    prefix: int
    entries: bytes
    sweeps: bytes


@dataclass(frozen=True)
class StoredAuthority:
    """A key of a medical authority that the public cloud recognises, whom it may certify, its newest CRL, where the next is."""

    authority_id: str
    certificate: bytes
    doctor_ids: tuple[str, ...]
    crl: bytes | None
    crl_number: int
    crl_url: str | None = None


@dataclass(frozen=True)
class StoredPart:
    """One part of a record: its bytes are an encrypted blob of that name."""

    kind: str
    name: str
    media_type: str
    size_bytes: int
    digest: bytes
    blob: str


@dataclass(frozen=True)
class StoredRecord:
    """One record at a hospital. `patient_key` is an HMAC of ID_P; `wrapped_key` is the record's key under the token.

    `generation` says which generation of the index key made the HMAC. `keep_until` is when the retention of this version
    ends, if that was said. `sensitivity` is "normal", "restricted" or "secret".
    """

    handle: bytes
    version: int
    patient_key: bytes
    department_id: str
    department_class: str
    stored_at: int
    wrapped_key: bytes
    sealed_parts: bytes
    sensitivity: str
    generation: int = 1
    keep_until: int | None = None


@dataclass(frozen=True)
class OutboxEntry:
    """A publication that the public cloud has not acknowledged yet. `sealed` holds what to publish."""

    entry_id: bytes
    sealed: bytes
    attempts: int
    not_before: int


@dataclass(frozen=True)
class StoredRoom:
    """A room of the relay and the public statements of its doctor."""

    room_id: bytes
    doctor_id: str
    key_statement: StoredStatement
    doctor_certificate: bytes
    encryption_key_statement: StoredStatement
    expires_at: int


@dataclass(frozen=True)
class Standing:
    """Where a record stands since `changed_at`; the log's entry `logged` says why. A record without one was never changed.

    "withdrawn": on file, and not found. "shown": found again. "erased": not on file any more; it stays so.
    """

    handle: bytes
    standing: StandingName
    changed_at: int
    logged: bytes

    @property
    def is_shown(self) -> bool:
        """Return whether the record is to be found."""
        return self.standing == "shown"


@dataclass(frozen=True)
class Hold:
    """A legal hold on a record: as long as there is one, it is not erased. The log's entry of the id `logged` says why."""

    handle: bytes
    hold_id: bytes
    placed_at: int
    logged: bytes


@dataclass(frozen=True)
class StoredShift:
    """When a doctor works in departments of which classes; its end is not included.

    `ended_at` is when it was ended by hand, `told_at` when the public cloud took that up. `duty` is the duty as it was stated
    last, None where nobody asked for it yet.
    """

    shift_id: bytes
    doctor_id: str
    department_classes: tuple[str, ...]
    not_before: int
    not_after: int
    ended_at: int | None = None
    told_at: int | None = None
    duty: StoredStatement | None = None

    def is_on(self, now: int) -> bool:
        """Return whether the doctor works now."""
        return self.ended_at is None and self.not_before <= now < self.not_after


class RosterMark(NamedTuple):
    """Changes whenever a shift ends: how often one was ended by hand, and the newest end that has come by itself."""

    ended_by_hand: int
    newest_end: int


@dataclass(frozen=True)
class StoredGuardianship:
    """A guardianship that this hospital stated. `sealed` holds it with the key statement; times are as a shift's."""

    guardianship_id: bytes
    sealed: bytes
    not_after: int
    ended_at: int | None = None
    told_at: int | None = None


@dataclass(frozen=True)
class StoredEmergency:
    """An emergency in which this hospital gave records, or said that there are none.

    `sealed` is what was shown, `sealed_review` what an officer decided. `logged` is its first entry in the log, by
    its id, `accesses` how many entries there are.
    """

    emergency_digest: bytes
    sealed: bytes
    declared_at: int
    logged: bytes
    accesses: int
    reviewed_at: int | None = None
    sealed_review: bytes | None = None


@dataclass(frozen=True)
class StoredRestriction:
    """What a patient hides: an HMAC of ID_P, the number, the restriction with what it is checked by, sealed.

    `generation` is that of the index key that made the HMAC.
    """

    patient_key: bytes
    number: int
    sealed: bytes
    generation: int


class Deliveries(NamedTuple):
    """To how many hospitals a restriction was delivered, and is due still."""

    made: int
    due: int
