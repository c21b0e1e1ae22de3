"""What goes wrong at a client itself, before or beside any message."""

from federation.errors import FederationError, MalformedMessage, Unavailable


class ProfileUnusable(FederationError):
    """The client's directory is missing, incomplete or in the way of a new one."""

    reason = "PROFILE_UNUSABLE"
    in_words = "The directory cannot be used."


class CodeInvalid(MalformedMessage):
    """The text is no doctor's code."""

    reason = "CODE_INVALID"
    in_words = "This is no doctor's code, or it is damaged."


class NoAnswer(Unavailable):
    """The other side of the room did not answer in time."""

    reason = "NO_ANSWER"
    in_words = "Nobody answered in time."


class NoSuchGrant(FederationError):
    """No grant of that id was given by this patient from this profile."""

    reason = "NO_SUCH_GRANT"
    in_words = "There is no such consent of yours."


class RecordTooLarge(MalformedMessage):
    """A hospital's manifest says more than this visit takes, or more than one of its kind may have."""

    reason = "RECORD_TOO_LARGE"
    in_words = "The record has more than this visit takes; nothing of it is kept."


class WrongFile(FederationError):
    """A file that the person named can't be used for what it was named for."""

    reason = "FILE_UNUSABLE"
    in_words = "A file cannot be used."
