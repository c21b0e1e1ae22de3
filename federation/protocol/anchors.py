"""What a party pins, and the lists it checks: the roots of every verification (docs/protocol.md, 2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import Message

from federation.errors import (
    BundleInvalid,
    CloudKeyRevoked,
    CloudKeyUnknown,
    CredentialRevoked,
    IssuerRevoked,
    IssuerUnknown,
    MalformedMessage,
    NewerThanList,
    StaleRevocationList,
)
from federation.protocol.authorities import Authority, Crls, crls_that_count
from federation.protocol.parsing import check
from federation.protocol.revocations import Listed, NothingAtHand, SomeShards, prefix_of
from federation.protocol.statements import open_statement, peek_statement
from federation.protocol.time import Instant
from federation.protocol.witness_policy import WitnessPolicies
from federation.v1.directory_pb2 import KeyPeriod, TrustBundle
from federation.v1.statement_pb2 import EncryptionKeyStatement, RevocationExcerpt, RevocationHead, SignedStatement
from keystore.generations import Generation, Generations, State
from keystore.identities import PatientId
from keystore.signatures import VerifyingKey
from keystore.transcript import digest, text, transcript


def is_revoked(period: KeyPeriod) -> bool:
    """Return whether the key verifies nothing but kept evidence."""
    return period.HasField("revoked_at")


def has_begun(period: KeyPeriod, moment: Instant) -> bool:
    """Return whether the key was activated by that moment."""
    return period.HasField("not_before") and period.not_before <= moment


def has_ended(period: KeyPeriod, moment: Instant) -> bool:
    """Return whether the key had a successor at that moment."""
    return period.HasField("not_after") and period.not_after <= moment


def periods_of(generations: Generations, purpose: str, first: bytes) -> list[KeyPeriod]:
    """Return a purpose's generations as a trust bundle states them; `first` is the public key of the first.

    One that was revoked before it was ever active is left out: nothing hangs on it.
    """
    return [
        _period(it, it.public or first, generations.retired_at(purpose, it.number))
        for it in generations.of(purpose)
        if it.active_from is not None or it.revoked_at is None
    ]


def _period(it: Generation, public: bytes, retired_at: Instant | None) -> KeyPeriod:
    return KeyPeriod(
        verifying_key=public,
        not_before=it.active_from,
        not_after=retired_at,
        tainted_at=it.tainted_at,
        revoked_at=it.revoked_at,
    )


@dataclass(frozen=True)
class KeyHistory:
    """The generations of one key in the order of their activation, prepared ones last. At most one holds any moment."""

    periods: tuple[KeyPeriod, ...]

    @classmethod
    def read(cls, periods: Iterable[KeyPeriod]) -> "KeyHistory":
        """Take a bundle's generations. Raises BundleInvalid where they contradict each other."""
        history = cls(tuple(periods))
        if not history.periods:
            raise BundleInvalid("the trust bundle names no key")  # tb.6
        if len({period.verifying_key for period in history.periods}) != len(history.periods):
            raise BundleInvalid("the trust bundle names a key twice")  # tb.6
        for period in history.periods:
            _require_sound(period)
        for earlier, later in pairwise(history.periods):
            if not _precedes(earlier, later):
                raise BundleInvalid("the trust bundle names two keys for one time, or in the wrong order")  # tb.9
        return history

    def at(self, moment: Instant) -> KeyPeriod | None:
        """Return the generation that signed at that moment, whatever became of it since."""
        holding = (p for p in self.periods if has_begun(p, moment) and not has_ended(p, moment))
        return next(holding, None)

    def of_digest(self, verifying_key_digest: bytes) -> KeyPeriod | None:
        """Return the generation with this H(verifying key)."""
        return next((p for p in self.periods if digest(p.verifying_key) == verifying_key_digest), None)

    def of_key(self, verifying_key: bytes) -> KeyPeriod | None:
        """Return the generation of this key."""
        return next((p for p in self.periods if p.verifying_key == verifying_key), None)

    def state(self, verifying_key: bytes, *, now: Instant) -> State | None:
        """Return what a generation may do now, or None for a key that is none of these."""
        period = self.of_key(verifying_key)
        if period is None:
            return None
        if is_revoked(period):
            return State.REVOKED
        if not has_begun(period, now):
            return State.PREPARED
        if period.HasField("tainted_at"):
            return State.TAINTED
        return State.RETIRED if has_ended(period, now) else State.ACTIVE

    def signers(self, moment: Instant) -> tuple[KeyPeriod, ...]:
        """Return who may sign the bundle that follows one of that moment: the active key, and those that are prepared."""
        return tuple(period for period in self.periods if not has_ended(period, moment))


def _require_sound(period: KeyPeriod) -> None:
    if period.HasField("not_after") and not has_begun(period, period.not_after):
        raise BundleInvalid("a key of the trust bundle ends before it begins")  # tb.7
    fallen = is_revoked(period) or period.HasField("tainted_at")
    if fallen and not period.HasField("not_after"):
        raise BundleInvalid("a key of the trust bundle is tainted or revoked and has no successor")  # tb.8


def _precedes(earlier: KeyPeriod, later: KeyPeriod) -> bool:
    if not later.HasField("not_before"):
        return True
    return earlier.HasField("not_after") and earlier.not_after <= later.not_before


M = TypeVar("M", bound=Message)

LONGEST_LIST_LIFE_MS = 3_600_000


_STATED_AT = {"ks": "stated_at", "rl": "this_update", "ekack": "done_at", "puback": "done_at"}
"""Label of a statement by PRK_C -> its own time, which says which PRK_C signed it."""


@dataclass(frozen=True)
class Anchors:
    """What a trust bundle says, checked in itself. Whether to believe it is `federation.protocol.bundle`'s affair."""

    realm: str
    cloud_id: str
    issuers: KeyHistory
    cloud_keys: KeyHistory
    authorities: tuple[Authority, ...]
    department_classes: frozenset[str]
    witnesses: WitnessPolicies
    accepts_revoked: bool = False

    @classmethod
    def of(cls, bundle: TrustBundle) -> "Anchors":
        """Read a trust bundle. Raises MalformedMessage."""
        check(bundle)
        return cls(
            realm=bundle.realm,
            cloud_id=bundle.cloud_id,
            issuers=KeyHistory.read(bundle.issuers),
            cloud_keys=KeyHistory.read(bundle.cloud_keys),
            authorities=tuple(map(Authority.of, bundle.medical_authorities)),
            department_classes=frozenset(bundle.department_classes),
            witnesses=WitnessPolicies.read(bundle),
        )

    @property
    def for_evidence(self) -> "Anchors":
        """Return the anchors of a judge: what a key signed before it was revoked stays evidence. For nothing else."""
        return replace(self, accepts_revoked=True)

    def issuer_at(self, not_before: Instant) -> bytes:
        """Return the PK that signed a credential of that begin. Raises IssuerUnknown, IssuerRevoked."""
        period = self.issuers.at(not_before)
        if period is None:
            # cred.12, reg2.7
            raise IssuerUnknown("the trust bundle at hand names no PK for the time of the credential")
        if self._is_barred(period):
            raise IssuerRevoked("the PK of the credential is revoked")  # cred.12, reg2.7
        return period.verifying_key

    def cloud_key_at(self, moment: Instant) -> VerifyingKey:
        """Return the PUK_C of what the cloud signed at that moment. Raises CloudKeyUnknown, CloudKeyRevoked."""
        return self._cloud_key(self.cloud_keys.at(moment))

    def cloud_key_of(self, statement: EncryptionKeyStatement, *, now: Instant) -> VerifyingKey:
        """Return the PUK_C that EK_C names, active by now and at the epoch's begin. Raises CloudKeyUnknown, CloudKeyRevoked."""
        period = self.cloud_keys.of_digest(statement.verifying_key_digest)
        if period is not None and (not has_begun(period, now) or has_ended(period, statement.not_before)):
            period = None
        return self._cloud_key(period)

    def log_keys(self, *, now: Instant) -> list[VerifyingKey]:
        """Return every PUK_C that has begun by now, the newest first: whose heads of the cloud's log count.

        A head says no time, and the one that a witness keeps may be of a key that has had a successor since.
        """
        begun = [it for it in self.cloud_keys.periods if has_begun(it, now) and not self._is_barred(it)]
        return [VerifyingKey(it.verifying_key) for it in reversed(begun)]

    def open(self, label: str, message_type: type[M], signed: SignedStatement) -> M:
        """Verify a statement by the PRK_C of its own time, and give it.

        Raises CloudKeyUnknown, CloudKeyRevoked, SignatureInvalid, MalformedMessage.
        """
        moment: Instant = getattr(peek_statement(message_type, signed), _STATED_AT[label])  # stated.1
        return open_statement(label, message_type, signed, self.cloud_key_at(moment))  # stated.4

    def _cloud_key(self, period: KeyPeriod | None) -> VerifyingKey:
        if period is None:
            # stated.2, reg2.9, C.6, ek.1
            raise CloudKeyUnknown("the trust bundle at hand names no PUK_C for the time of the statement")
        if self._is_barred(period):
            raise CloudKeyRevoked("the PUK_C of the statement is revoked")  # stated.3, reg2.9, C.6, ek.1
        return VerifyingKey(period.verifying_key)

    def _is_barred(self, period: KeyPeriod) -> bool:
        return is_revoked(period) and not self.accepts_revoked


def serial_entry(serial: bytes) -> bytes:
    """Return the revocation list's entry of a credential: H(T("serial", serial))."""
    return digest(transcript("serial", serial))


def statement_entry(kind: str, owner_id: str, statement_id: bytes) -> bytes:
    """Return the revocation list's entry of a grant, mandate, guardian or duty: H(T("revoked", kind, whose, id)).

    ID_P's are the grants and mandates about it, ID_HPC's the duties and guardianships that it stated.
    """
    return digest(transcript("revoked", text(kind), text(owner_id), statement_id))


def sweep_entry(patient_id: str) -> bytes:
    """Return whose sweep the revocation list names: H(T("sweep", ID_P))."""
    return digest(transcript("sweep", text(patient_id)))


def key_entry(key_id: bytes) -> bytes:
    """Return the revocation list's entry of an encryption key: H(T("key", key id))."""
    return digest(transcript("key", key_id))


@dataclass(frozen=True)
class Grace:
    """How long a head counts that is over, and the latest moment at which it was used so; without one, not at all.

    `seen` keeps who sets a clock back from stretching it: docs/adr/0039-hub-dark.md.
    """

    length_ms: int = 0
    seen: Instant = 0


NO_GRACE = Grace()


@dataclass(frozen=True)
class Lists:
    """The head of the revocation list, what is at hand of its set, and the CRLs as last received. Stale or absent means no.

    `crls` are those that count, by H(CA certificate): `federation.protocol.authorities.crls_that_count`. `ended` are entries of
    statements that this party itself stated and ended: they count before any list has them.
    """

    signed: SignedStatement | None = None
    head: RevocationHead | None = None
    crls: Mapping[bytes, Crls] = field(default_factory=dict)
    listed: Listed = field(default_factory=NothingAtHand)
    ended: frozenset[bytes] = frozenset()

    @classmethod
    def read(
        cls, anchors: Anchors, signed: SignedStatement, crls: tuple[bytes, ...], listed: Listed | None = None
    ) -> "Lists":
        """Verify a head by PUK_C, and take the CRLs that it does not rule out. Raises Authentication, Malformed.

        `listed` is what is at hand of its set, proven by it.
        """
        head = open_head(anchors, signed)
        return cls(signed, head, crls_that_count(anchors.authorities, crls, head.crls), listed or NothingAtHand())

    def with_crls(self, anchors: Anchors, fetched: Iterable[bytes]) -> "Lists":
        """Return these lists with more CRLs beside their own, as far as they count by the pins. Raises MalformedMessage."""
        pins = self.head.crls if self.head else ()
        return replace(self, crls=crls_that_count(anchors.authorities, (*self.counted, *fetched), pins))

    @property
    def counted(self) -> frozenset[bytes]:
        """Return the CRLs that count, DER."""
        return frozenset(crl.public_bytes(Encoding.DER) for known in self.crls.values() for crl in known)

    @property
    def sequence(self) -> int:
        """Return the head's sequence, or 0 without one."""
        return self.head.sequence if self.head else 0

    def require_head(self) -> RevocationHead:
        """Return the head. Raises StaleRevocationList without one."""
        if self.head is None:
            raise StaleRevocationList("no revocation list is at hand")
        return self.head

    def require_current(self, now: Instant, *, skew_ms: int, grace: Grace = NO_GRACE) -> RevocationHead:
        """Return the head if it is current, or over for less than this grace. Raises StaleRevocationList."""
        if self.head is None or now >= self.head.next_update + grace.length_ms:
            raise StaleRevocationList("no current revocation list is at hand")  # cred.1
        if self.is_late(now, grace) and now + skew_ms < grace.seen:
            raise StaleRevocationList("the list at hand is over, and this clock has gone back since")  # cred.1
        if now + skew_ms < self.head.this_update:
            # cred.1
            raise StaleRevocationList("the list is newer than the clock of who checks it: is that clock right?")
        return self.head

    def is_late(self, now: Instant, grace: Grace = NO_GRACE) -> bool:
        """Return whether the head at hand is over, by this clock or by what it has shown before."""
        return self.head is not None and max(now, grace.seen) >= self.head.next_update

    def require_stood(self, stated_at: Instant, *, now: Instant, grace: Grace = NO_GRACE) -> None:
        """Require of what somebody stated that it is no newer than the head, where that is over. Raises NewerThanList."""
        if self.head is not None and self.is_late(now, grace) and stated_at > self.head.this_update:
            raise NewerThanList("what is shown is newer than the revocation list at hand, and that is over")

    def require_serial_good(self, serial: bytes) -> None:
        """Raise CredentialRevoked for a revoked credential, RevocationShardMissing as all questions do."""
        if self.listed.find(serial_entry(serial)) is not None:
            raise CredentialRevoked("the credential is revoked")  # cred.11

    def require_key_good(self, key_id: bytes) -> None:
        """Raise CredentialRevoked for a revoked encryption key."""
        if self.listed.find(key_entry(key_id)) is not None:
            raise CredentialRevoked("the encryption key is revoked")  # ek.8

    def excerpt(self, entries: Iterable[bytes]) -> RevocationExcerpt:
        """Return the head, and the shards in which these entries would lie. Raises as `shards`."""
        return self.shards(map(prefix_of, entries))

    def shards(self, prefixes: Iterable[int]) -> RevocationExcerpt:
        """Return the head, and these shards with their paths. Raises StaleRevocationList, RevocationShardMissing."""
        if self.signed is None:
            raise StaleRevocationList("no revocation list is at hand")
        return self.listed.excerpt(self.signed, prefixes)

    def is_revoked(self, kind: str, owner_id: str, statement_id: bytes) -> bool:
        """Return whether a statement of this kind ("grant", "mandate", "guardian", "duty") was taken back by itself."""
        entry = statement_entry(kind, owner_id, statement_id)
        return entry in self.ended or self.listed.find(entry) is not None

    def is_taken_back(self, kind: str, patient_id: PatientId, statement_id: bytes, stated_at: Instant) -> bool:
        """Return whether a grant or mandate was taken back, by itself or with all that its patient signed."""
        return stated_at < self.swept_before(patient_id) or self.is_revoked(kind, patient_id, statement_id)

    def swept_before(self, patient_id: str) -> Instant:
        """Return before when everything is taken back that the patient, or its deputies, signed; 0 where nothing is."""
        return self.listed.find(sweep_entry(patient_id)) or 0


def read_excerpt(anchors: Anchors, excerpt: RevocationExcerpt, crls: tuple[bytes, ...]) -> Lists:
    """Verify a head and the shards that came with it. Raises Authentication, RevocationShardInvalid, MalformedMessage."""
    check(excerpt)
    lists = Lists.read(anchors, excerpt.head, crls)
    return replace(lists, listed=SomeShards.read(excerpt, lists.require_head()))


def open_head(anchors: Anchors, signed: SignedStatement) -> RevocationHead:
    """Verify a head by PUK_C. Raises Authentication, MalformedMessage."""
    head = anchors.open("rl", RevocationHead, signed)  # rl.1
    if head.next_update - head.this_update > LONGEST_LIST_LIFE_MS:
        raise MalformedMessage("a head of the revocation list may not live longer than an hour")  # rl.2
    return head
