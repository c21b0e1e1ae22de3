"""A server as a witness of others' logs: it cosigns a head that goes on from the one it keeps, and keeps what contradicts.

Whoever asks for a cosignature may be anyone: the head is its log's own word. So a head that is older than the kept one, or a
proof that fails, says nothing of the log; only what the log itself shows when it is asked does (`log_follower`). Two heads of one
size are proof whoever brings them. docs/adr/0034-witnesses.md
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from federation.clock import Clock
from federation.errors import (
    CredentialExpired,
    CredentialRevoked,
    FederationError,
    HeadBaseMismatch,
    HeadConflict,
    HeadOlder,
    IdentityMismatch,
    NoteMalformed,
    SignatureInvalid,
    Unavailable,
    WitnessIneligible,
)
from federation.protocol.log_head import LogHead, Origin, cosign, open_head, peek_head
from federation.protocol.notes import read_note, text_key_id
from federation.protocol.parsing import check
from federation.protocol.time import Instant
from federation.protocol.verifier import Verifier
from federation.protocol.witness import ShownHead, WitnessState, next_state
from federation.store.followed import FollowedLogs
from federation.store.transactions import tries
from federation.store.witnessed import LogFinding, LogFindings, Witnessed, WitnessedHead
from federation.v1.log_pb2 import CosignRequest, CosignResponse
from federation.v1.statement_pb2 import ROLE_HOSPITAL, SignedStatement
from federation.wire import operations
from keystore.identities import HOSPITAL
from keystore.signatures import SigningKey, VerifyingKey

FORK = "fork"
"""Two heads of one log of which neither goes on from the other."""

CUT_BACK = "cut-back"
"""A log whose newest head is smaller than one that it had signed."""

REWRITTEN = "rewritten"
"""A log that can't prove that its newest head goes on from one that it had signed."""

RESTARTED = "restarted"
"""A log that its node began anew under another number: after a restore, or to be rid of what was in it."""

FINDINGS = (FORK, CUT_BACK, REWRITTEN, RESTARTED)


@dataclass(frozen=True)
class ShownLog:
    """A head whose author's key has signed it, as its author alone signed it, and KS of the author, empty for the cloud."""

    head: LogHead
    origin: Origin
    key: VerifyingKey
    note: bytes
    key_statement: bytes

    @property
    def node_id(self) -> str:
        """Return whose log it is."""
        return self.origin.author_id

    def kept(self, now: Instant) -> WitnessedHead:
        """Return it as it is kept."""
        head = self.head
        return WitnessedHead(self.node_id, head.origin, head.size, head.root, self.note, self.key_statement, now)


def open_shown(note: bytes, key_statement: SignedStatement | None, verifier: Verifier, *, now: Instant) -> ShownLog:
    """Verify a head by the key of the node that it names: PUK_C, or that of a hospital's KS.

    Raises NoteMalformed, SignatureInvalid, IdentityMismatch, WitnessIneligible for somebody who has no log here, Authentication.
    """
    head = peek_head(note)
    origin = Origin.read(head.origin)
    anchors = verifier.anchors
    if (origin.realm, origin.author_id) != (Origin.of(anchors.realm, origin.author_id).realm, origin.author_id):
        raise IdentityMismatch("this is a log of another federation")  # logs.1
    keys = keys_of(origin.author_id, key_statement, verifier, now=now)
    key = _signer(note, head.origin, keys)
    opened = open_head(note, head.origin, key)
    stated = b"" if key_statement is None else key_statement.SerializeToString(deterministic=True)
    return ShownLog(opened, origin, key, _by_its_author(note, head.origin, key), stated)


def keys_of(
    node_id: str, key_statement: SignedStatement | None, verifier: Verifier, *, now: Instant
) -> Sequence[VerifyingKey]:
    """Return the keys that may sign what a node says: a hospital's by CRED, the cloud's by the trust bundle.

    Raises WitnessIneligible for who is neither, IdentityMismatch, Authentication.
    """
    if node_id == verifier.anchors.cloud_id:
        return verifier.anchors.log_keys(now=now)
    if not node_id.startswith(HOSPITAL) or key_statement is None:
        raise WitnessIneligible("only the public cloud and hospitals with their key statement have witnesses")  # logs.2
    party = verifier.party(key_statement, ROLE_HOSPITAL, now=now)  # logs.3
    if party.identity != node_id:
        raise IdentityMismatch("the key statement is another hospital's")  # logs.4
    return [party.key]


def has_left(witness: "Witness", held: WitnessedHead) -> bool:
    """Return whether the node of a kept head has ended: its credential has run out, or was revoked."""
    stated = SignedStatement.FromString(held.key_statement) if held.key_statement else None
    try:
        keys_of(held.node_id, stated, witness.verifier(), now=witness.clock())
    except (CredentialExpired, CredentialRevoked):
        return True
    except FederationError:
        return False  # lists that have run out say nothing of it
    return False


def _signer(note: bytes, origin: str, keys: Sequence[VerifyingKey]) -> VerifyingKey:
    named = {it.key_id for it in read_note(note).signatures if it.name == origin}
    for key in keys:
        if text_key_id(key) in named:
            return key
    raise SignatureInvalid("the head is not signed by a key of its log's node")  # logs.5


def _by_its_author(note: bytes, origin: str, key: VerifyingKey) -> bytes:
    """Return the note with its author's line alone: what else stands under it is anybody's. Raises NoteMalformed."""
    parts = read_note(note)
    own = [it.line() for it in parts.signatures if (it.name, it.key_id) == (origin, text_key_id(key))]
    if len(own) != 1:
        raise NoteMalformed("the head is signed twice")
    return parts.text + b"\n" + own[0]


@dataclass(frozen=True)
class Witness:
    """Cosigns heads of others' logs, and keeps the newest of each. Safe for several threads and processes."""

    identity: str
    verifier: Callable[[], Verifier]
    signing_key: Callable[[Instant], SigningKey]
    witnessed: Witnessed
    findings: LogFindings
    followed: FollowedLogs
    clock: Clock

    def cosign(self, request: CosignRequest) -> CosignResponse:
        """Keep a head that goes on from the kept one, then cosign it; or answer with the one that is kept.

        Raises MalformedMessage, Authentication, LogProofInvalid, WitnessIneligible.
        """
        check(request)  # Cosign.1
        now = self.clock()
        key_statement = request.key_statement if request.HasField("key_statement") else None
        shown = open_shown(request.note, key_statement, self.verifier(), now=now)  # Cosign.2
        held = self.witnessed.of(shown.node_id)
        if held is not None and held.is_doubted:
            raise Unavailable("this witness was restored, and looks at the log before it cosigns")  # Cosign.3
        try:
            self.take(shown, request.old_size, request.proof, now=now)  # Cosign.5
        except (HeadConflict, HeadOlder, HeadBaseMismatch):
            held = self.witnessed.of(shown.node_id)
            return CosignResponse(kept_note=None if held is None else held.note)
        line = cosign(shown.note, self.signing_key(now), self.identity, now)
        return CosignResponse(cosignature=line)

    def take(self, shown: ShownLog, old_size: int, proof: Sequence[bytes], *, now: Instant) -> None:
        """Keep a head in place of the one that it goes on from; what contradicts is kept as a finding.

        Raises HeadOlder, HeadConflict, HeadBaseMismatch, LogProofInvalid, WitnessIneligible.
        """
        for _ in tries():
            held = self.witnessed.of(shown.node_id)
            base = self._base(held, shown)
            try:
                next_state(
                    base,
                    ShownHead(shown.note, old_size, proof),
                    origin=shown.head.origin,
                    key=shown.key,
                    witness_id=self.identity,
                )
            except HeadConflict:
                self.find(FORK, shown, held, now=now)
                raise
            if held is not None and base is None:
                self.find(RESTARTED, shown, held, now=now)
            if _is_of(held, shown) or self.witnessed.advance(shown.kept(now), held):
                return
        raise Unavailable("other processes take heads of this log faster than this one")

    def find(self, kind: str, shown: ShownLog, held: WitnessedHead | None, *, now: Instant) -> None:
        """Keep two heads that contradict each other, and tell the operator once."""
        if held is None:
            return
        finding = LogFinding(shown.node_id, kind, held.note, held.key_statement, shown.note, shown.key_statement, now)
        if self.findings.add(finding):
            operations.warning("log-finding", kind=kind)

    @staticmethod
    def _base(held: WitnessedHead | None, shown: ShownLog) -> WitnessState | None:
        """Return what a head of this log has to go on from: nothing, where its node has begun anew. Raises HeadOlder."""
        if held is None:
            return None
        number = Origin.read(held.origin).number
        if shown.origin.number < number:
            raise HeadOlder("the log has begun anew since, under a higher number")  # Cosign.4
        head = LogHead(held.origin, held.size, held.root)
        return WitnessState(head, held.note) if shown.origin.number == number else None


def _is_of(held: WitnessedHead | None, shown: ShownLog) -> bool:
    head = shown.head
    return (
        held is not None
        and not held.is_doubted
        and (held.origin, held.size, held.root) == (head.origin, head.size, head.root)
    )
