"""A party's encryption keys over time: one current epoch, the ended ones kept 5 minutes more, then destroyed (B5).

First flights get delayed forward secrecy from this: once an epoch's key is gone, what was sealed to it stays sealed. An epoch
is stated by one verifying key of the party: when that one is replaced, the next epoch begins.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from federation.protocol.statements import peek_statement, sign_statement
from federation.protocol.time import Instant, Lifetimes, milliseconds
from federation.store.party import Epochs
from federation.store.rows import StoredEpoch, StoredStatement
from federation.v1.statement_pb2 import EncryptionKeyStatement, SignedStatement
from keystore.encryption import KEM_ID, DecryptionKey
from keystore.errors import EpochKeyUnknown
from keystore.party import PartyKeys
from keystore.signatures import SigningKey
from keystore.transcript import digest
from remembered import Memory

EPOCHS = "epochs"
"""What is remembered of them (remembered.py)."""
KEPT_AFTER_END = timedelta(minutes=5)


class EpochKeeper:
    """Keeps the epochs of one party. Safe for several threads; several processes see each other's epochs by the store."""

    def __init__(
        self,
        identity: str,
        keys: PartyKeys,
        store: Epochs,
        lifetimes: Lifetimes | None = None,
        signer: Callable[[], SigningKey] | None = None,
    ) -> None:
        """Keep epochs for this identity, in this token and store. `signer` states them; by default the active PRK_X does."""
        self._identity = identity
        self._keys = keys
        self._store = store
        self._signer = signer or (lambda: keys.signing_key)
        self._lifetimes = lifetimes or Lifetimes()
        self._stored = Memory[None, Sequence[StoredEpoch]](EPOCHS)
        self._open: dict[bytes, DecryptionKey] = {}
        self._held: set[bytes] = set()
        self._lock = threading.Lock()

    def current(self, now: Instant, signing_key: SigningKey | None = None) -> SignedStatement:
        """Return the newest EK_X, making the first one if there is none; of another PRK_X than the one in use, if it is given."""
        signer = signing_key or self._signer()
        newest = self._newest(signer)
        if newest is None or newest.not_after <= now:
            self._stored.forget()  # another process may have begun one
            newest = self._newest(signer)
        if newest is None or newest.not_after <= now:
            return self.rotate(now, signer)
        return as_signed(newest.statement)

    @property
    def key_ids(self) -> Sequence[bytes]:
        """Return the key ids of all epochs that are kept."""
        return [epoch.key_id for epoch in self._store.all()]

    def is_due(self, now: Instant) -> bool:
        """Return whether the next epoch should begin: near the end of this one, or where one token alone could open it."""
        newest = self._newest(self._signer())
        if newest is None or not self._keys.is_epoch_everywhere(newest.sealed_seed):
            return True
        return newest.not_after - milliseconds(self._lifetimes.renew_before_end) <= now

    def rotate(self, now: Instant, signing_key: SigningKey | None = None) -> SignedStatement:
        """Begin a new epoch and return its EK_X. The old ones stay until they end."""
        signer = signing_key or self._signer()
        epoch = self._keys.new_epoch()
        not_after = now + milliseconds(self._lifetimes.epoch)
        statement = EncryptionKeyStatement(
            identity=self._identity,
            verifying_key_digest=_digest_of(signer),
            key_id=epoch.key.key_id,
            kem=KEM_ID,
            encryption_key=epoch.key.encryption_key,
            not_before=now - milliseconds(timedelta(minutes=1)),
            not_after=not_after,
        )
        signed = sign_statement("ek", statement, signer)
        stored = StoredStatement(signed.statement, signed.signature)
        self._store.put(StoredEpoch(epoch.key.key_id, epoch.token_label, epoch.sealed_seed, stored, not_after))
        self._stored.forget()
        return signed

    def sweep(self, now: Instant) -> int:
        """Destroy the keys of epochs that ended 5 minutes ago or more; return how many.

        What another process destroyed is forgotten here too, a seed in memory among it.
        """
        ended = [e for e in self._store.all() if e.not_after + milliseconds(KEPT_AFTER_END) <= now]
        for epoch in ended:
            self._keys.end_epoch(epoch.token_label)
            self._store.drop(epoch.key_id)
        self._stored.forget()
        kept = {epoch.key_id for epoch in self._store.all()}
        with self._lock:
            self._open = {key_id: key for key_id, key in self._open.items() if key_id in kept}
        return len(ended)

    def find(self, key_id: bytes) -> DecryptionKey:
        """Return the key of an epoch (a Keyring). Raises EpochKeyUnknown."""
        with self._lock:
            if key_id not in self._open:
                self._open[key_id] = self._opened(key_id)
            return self._open[key_id]

    def _opened(self, key_id: bytes) -> DecryptionKey:
        for epoch in self._store.all():
            if epoch.key_id == key_id and self._is_held(epoch):
                return self._keys.open_epoch(epoch.token_label, epoch.sealed_seed)
        raise EpochKeyUnknown("no decryption key of this party has that key id")

    def _newest(self, signer: SigningKey) -> StoredEpoch | None:
        named = _digest_of(signer)
        stored = self._stored.of(None, self._store.all)
        return next((it for it in stored if _stated_by(it) == named and self._is_held(it)), None)

    def _is_held(self, epoch: StoredEpoch) -> bool:
        """Return whether the key is there: it is not if the token was restored in place of one that died (ADR 17)."""
        if epoch.key_id not in self._held and self._keys.holds_epoch(epoch.token_label, epoch.sealed_seed):
            self._held.add(epoch.key_id)
        return epoch.key_id in self._held


def _digest_of(signing_key: SigningKey) -> bytes:
    return digest(signing_key.verifying_key.data)


def _stated_by(epoch: StoredEpoch) -> bytes:
    return peek_statement(EncryptionKeyStatement, as_signed(epoch.statement)).verifying_key_digest


def as_signed(stored: StoredStatement) -> SignedStatement:
    """Return a stored statement in its wire form."""
    return SignedStatement(statement=stored.statement, signature=stored.signature)


def as_stored(signed: SignedStatement) -> StoredStatement:
    """Return a statement in its stored form."""
    return StoredStatement(signed.statement, signed.signature)
