"""What goes wrong at a client itself, before or beside any message."""

from federation.errors import FederationError, MalformedMessage, Unavailable


class ProfileUnusable(FederationError):
    """The client's directory is missing, incomplete or in the way of a new one."""

    reason = "PROFILE_UNUSABLE"
    in_words = "The directory cannot be used."
    to_do = "Name the directory that was made when you registered, or a new one."


class CodeInvalid(MalformedMessage):
    """The text is no doctor's code."""

    reason = "CODE_INVALID"
    in_words = "This is no doctor's code, or it is damaged."
    to_do = "Photograph or copy it again, every character."


class NoAnswer(Unavailable):
    """The other side of the room did not answer in time."""

    reason = "NO_ANSWER"
    in_words = "Nobody answered in time."
    to_do = "Ask whether the other side is still there; then begin again."


class RoomChanged(FederationError):
    """The room is no longer as the patient was shown it: another doctor's, or the doctor is on duty elsewhere."""

    reason = "ROOM_CHANGED"
    in_words = "The room is not as it was shown to you."
    to_do = "Look again before you go in."


class NoSuchGrant(FederationError):
    """No grant of that number was given from this profile."""

    reason = "NO_SUCH_GRANT"
    in_words = "There is no such consent of yours."
    to_do = "`medunion patient grants` lists yours, with their numbers."


class NoSuchMandate(FederationError):
    """No mandate of that number was given from this profile."""

    reason = "NO_SUCH_MANDATE"
    in_words = "There is no such mandate of yours."
    to_do = "`medunion patient mandate list` shows yours, with their numbers."
    to_do_elsewhere = "Compare it with the mandates that you gave."


class NoSuchHiding(FederationError):
    """Nothing is hidden under that number."""

    reason = "NO_SUCH_HIDING"
    in_words = "You hide nothing of that number."
    to_do = "`medunion patient hidden` lists what you hide."
    to_do_elsewhere = "Compare it with what you hide."


class NoDeputy(FederationError):
    """Nothing in this profile says that its owner stands for that patient, with that power, now."""

    reason = "NO_DEPUTY"
    in_words = "You do not stand for this patient."
    to_do = "Ask the patient for a mandate with the power that this needs, and take its file."


class RecordTooLarge(MalformedMessage):
    """A hospital's manifest says more than this visit takes, or more than one of its kind may have."""

    reason = "RECORD_TOO_LARGE"
    in_words = "The record has more than this visit takes; nothing of it is kept."
    to_do = "Fetch it alone, with a larger `--fetch-at-most`."


class WrongFile(FederationError):
    """A file that the person named can't be used for what it was named for."""

    reason = "FILE_UNUSABLE"
    in_words = "A file cannot be used."
    to_do = "Choose another file."
