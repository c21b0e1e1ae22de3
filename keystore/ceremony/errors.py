"""Why a ceremony stops."""

from keystore.errors import KeystoreError


class CeremonyError(KeystoreError):
    """Root of the family; never raised itself."""

    reason = "CEREMONY_ERROR"


class CeremonyFileInvalid(CeremonyError):
    """The ceremony's file (or an answers file) is not what its kind asks for; each fault names the key."""

    reason = "CEREMONY_FILE_INVALID"

    def __init__(self, *faults: str) -> None:
        """Take all that is wrong, a sentence each."""
        super().__init__("; ".join(faults))
        self.faults = faults


class OutputExists(CeremonyError):
    """A file that the ceremony would make is there already; nothing is ever overwritten."""

    reason = "OUTPUT_EXISTS"


class ConfirmationRefused(CeremonyError):
    """Somebody present stopped the ceremony, or the administrator undid one that was interrupted."""

    reason = "CONFIRMATION_REFUSED"


class AnswerMissing(CeremonyError):
    """The answers file has nothing for a prompt."""

    reason = "ANSWER_MISSING"


class InventoryUnexpected(CeremonyError):
    """The token holds something else than it should before or after the ceremony."""

    reason = "INVENTORY_UNEXPECTED"


class KeyAttributesWrong(CeremonyError):
    """A key, read back from the token, is not what its policy wants."""

    reason = "KEY_ATTRIBUTES_WRONG"


class TransportKeyWrong(CeremonyError):
    """A token's transport key is another than the one that was shown, or the token that makes keys takes it for another."""

    reason = "TRANSPORT_KEY_WRONG"


class TwinsDiffer(CeremonyError):
    """Tokens that were given one key hold different ones."""

    reason = "TWINS_DIFFER"


class NoncesBiased(CeremonyError):
    """The bits of a token's nonces are not chance: after enough signatures anybody can compute a key that it holds."""

    reason = "NONCES_BIASED"


class NoncesDeterministic(CeremonyError):
    """A token's nonces follow from key and message: whoever has s one day could compute every S_X that it ever issued."""

    reason = "NONCES_DETERMINISTIC"


class ParticipantKeyWrong(CeremonyError):
    """A participant's token holds another key than the ceremony's file names."""

    reason = "PARTICIPANT_KEY_WRONG"


class ClockImplausible(CeremonyError):
    """This machine's clock is earlier than something that has happened."""

    reason = "CLOCK_IMPLAUSIBLE"


class ResumeRefused(CeremonyError):
    """There is nothing to go on with, or it was begun from another file."""

    reason = "RESUME_REFUSED"


class Interrupted(CeremonyError):
    """Somebody pressed Ctrl-C, or the input ended. The state file says how to go on."""

    reason = "INTERRUPTED"


class ToolMissing(CeremonyError):
    """A program that the ceremony needs is not installed."""

    reason = "TOOL_MISSING"


class TranscriptInvalid(CeremonyError):
    """Root of what `verify` finds; the sentence names the first line that is wrong."""

    reason = "TRANSCRIPT_INVALID"


class LineMalformed(TranscriptInvalid):
    """A line is not an entry in its one canonical spelling."""

    reason = "LINE_MALFORMED"


class ChainBroken(TranscriptInvalid):
    """A line does not follow the one before it: changed, moved, left out."""

    reason = "CHAIN_BROKEN"


class TranscriptTruncated(TranscriptInvalid):
    """The transcript ends before everybody present has signed it."""

    reason = "TRANSCRIPT_TRUNCATED"


class CeremonyAborted(TranscriptInvalid):
    """The transcript is whole as far as it goes, and says that its ceremony was aborted."""

    reason = "CEREMONY_ABORTED"


class ContentWrong(TranscriptInvalid):
    """An entry says something that cannot be: a digest of other content, a key that breaks its policy."""

    reason = "CONTENT_WRONG"


class SignatureWrong(TranscriptInvalid):
    """A signature is not by that participant over this transcript."""

    reason = "SIGNATURE_WRONG"


class ParticipantNotPinned(TranscriptInvalid):
    """A participant signed with another key than the verifier pinned, or was not there."""

    reason = "PARTICIPANT_NOT_PINNED"


class CeremoniesUnchained(TranscriptInvalid):
    """A transcript is not the one before another, though it was given as that."""

    reason = "CEREMONIES_UNCHAINED"


class ImportRefused(CeremonyError):
    """A ceremony can't be entered in an authority's ledger: another authority's, there already, or from an older list."""

    reason = "IMPORT_REFUSED"


def reason_of(error: BaseException) -> str:
    """Return the reason's name; what has none is an input/output error or a fault of ours."""
    return str(getattr(error, "reason", "IO_ERROR" if isinstance(error, OSError) else "INTERNAL"))
