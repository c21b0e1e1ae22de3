"""What goes wrong with a party's keys. `reason` is the one vocabulary of specification, audit log and tests."""


class KeystoreError(Exception):
    """Root of the family; never raised itself."""

    reason = "KEYSTORE_ERROR"


class InvalidPoint(KeystoreError):
    """A received point is not a canonical element of the prime-order subgroup, or is one of O, B, -B (B6)."""

    reason = "INVALID_POINT"


class InvalidScalar(KeystoreError):
    """A scalar has no form that the token can hold: about 2^-127 of all S_X, issue again with a new serial (3.1)."""

    reason = "SCALAR_WITHOUT_TOKEN_FORM"


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
