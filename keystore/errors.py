"""What goes wrong with a party's keys. `reason` is the one vocabulary of specification, audit log and tests."""


class KeystoreError(Exception):
    """Root of the family; never raised itself."""

    reason = "KEYSTORE_ERROR"


class InvalidPoint(KeystoreError):
    """An x-coordinate that is not below p or over which no point lies, or a public key that is none of P-256 (B6)."""

    reason = "INVALID_POINT"


class UnusableNonce(KeystoreError):
    """R_X1 is no x-coordinate of the nonce's point: about 2^-128 of all; issue again with a new serial."""

    reason = "NONCE_UNUSABLE"


class CredentialMismatch(KeystoreError):
    """(R_X1, S_X) does not satisfy eq. 4, 7, 10 for this credential and issuer."""

    reason = "CREDENTIAL_MISMATCH"


class SealBroken(KeystoreError):
    """What was sealed under a token key does not open: other key, other context, or altered."""

    reason = "SEAL_BROKEN"


class EpochKeyUnknown(KeystoreError):
    """No decryption key of this party has that key id, or its epoch has ended."""

    reason = "UNKNOWN_KEY_ID"


class CertificateRejected(KeystoreError):
    """An X.509 certificate or revocation list is not what its issuer may issue; the message says which rule broke."""

    reason = "CERTIFICATE_REJECTED"


class InvalidQuorum(KeystoreError):
    """A threshold below two or above the holders, too many holders, the same holder twice, or a secret too short to split."""

    reason = "INVALID_QUORUM"


class ShareRefused(KeystoreError):
    """Family of what is wrong with shares; found before any token is asked for anything."""

    reason = "SHARE_REFUSED"


class TooFewShares(ShareRefused):
    """Fewer shares than the threshold that they name."""

    reason = "TOO_FEW_SHARES"


class DuplicateShare(ShareRefused):
    """The same share twice."""

    reason = "DUPLICATE_SHARE"


class CorruptShare(ShareRefused):
    """A share that is not as it was given out; the message names the word's position where that can be known."""

    reason = "CORRUPT_SHARE"


class MixedShares(ShareRefused):
    """Shares that are each whole but not of one splitting, or not of the splitting that is wanted."""

    reason = "MIXED_SHARES"


class BackupCardRejected(KeystoreError):
    """A backup card is not as it was written, is another seed's, or a token's keys are not the card's."""

    reason = "BACKUP_CARD_REJECTED"


class RotationRefused(KeystoreError):
    """Family of what a generation may not do in its state (docs/adr/0018-rotation.md)."""

    reason = "ROTATION_REFUSED"


class RotationAlreadyPrepared(RotationRefused):
    """The key has a successor that waits for its activation; revoke that one, or activate it."""

    reason = "ROTATION_ALREADY_PREPARED"


class RotationNotPrepared(RotationRefused):
    """The key has no successor that could be activated."""

    reason = "ROTATION_NOT_PREPARED"


class RotationAlreadyScheduled(RotationRefused):
    """The successor has its time of activation already; to change it, revoke the successor and prepare another."""

    reason = "ROTATION_ALREADY_SCHEDULED"


class ActivationInPast(RotationRefused):
    """An activation before now, or before the predecessor's own."""

    reason = "ACTIVATION_IN_PAST"


class GenerationActive(RotationRefused):
    """The active generation can't be tainted or revoked: activate its successor first."""

    reason = "GENERATION_ACTIVE"


class GenerationPrepared(RotationRefused):
    """A generation that was never used can't be tainted; it can be revoked."""

    reason = "GENERATION_PREPARED"


class GenerationRevoked(RotationRefused):
    """The generation is revoked, which is for ever."""

    reason = "GENERATION_REVOKED"


class GenerationUnknown(RotationRefused):
    """No generation has that number, or no label of one is written like that."""

    reason = "GENERATION_UNKNOWN"


class PurposeUnknown(RotationRefused):
    """The party has no key of that purpose."""

    reason = "PURPOSE_UNKNOWN"


class GenerationNeeded(RotationRefused):
    """Something is still kept under the generation: it would be lost."""

    reason = "GENERATION_NEEDED"


class RetiredJustNow(RotationRefused):
    """The generation retired so lately that a server may still be using it; wait a moment."""

    reason = "GENERATION_RETIRED_JUST_NOW"


class NothingToReseal(RotationRefused):
    """Nothing is kept under this key that could be sealed anew here."""

    reason = "NOTHING_TO_RESEAL"


class PublicHalfDiffers(RotationRefused):
    """A generation's public key is another one than was noted for it."""

    reason = "PUBLIC_HALF_DIFFERS"


class GenerationsBroken(KeystoreError):
    """What a party's store has of its keys' generations can't be read, or can't have come about."""

    reason = "GENERATIONS_BROKEN"
