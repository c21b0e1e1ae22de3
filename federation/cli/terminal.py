"""What the doctor's and the patient's commands say, and how: refusals in plain words, codes, progress, tables."""

import io
import ipaddress
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import click
import segno
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

import safefiles
from federation.cli.groups import EXPECTED, TellingGroup, not_known, sentence
from federation.clinical.text import counted, printable, without_control
from federation.person.evidence import EvidenceBook
from federation.person.records import Progress as OnProgress

SENTENCES = {
    "INTERNAL": "Something went wrong on the other side; it is not your doing. Try again later.",
    "MALFORMED_MESSAGE": "The other side did not understand the message. Are both programs up to date?",
    "UNAUTHENTICATED": "The other side could not show who it is.",
    "UNAUTHORIZED": "The other side does not allow this.",
    "NOT_FOUND": "There is no such thing there.",
    "METHOD_NOT_SERVED": "The other side does not offer this. Are both programs up to date, and is it the right port?",
    "ALREADY_EXISTS": "There is such a thing already.",
    "OUT_OF_ORDER": "A message came at the wrong moment; start again.",
    "MESSAGE_REPLAYED": "This message was sent before; start again.",
    "LIMIT_REACHED": "The other side is busy; try again in a little while.",
    "UNAVAILABLE": "The other side does not answer; try again in a little while.",
    "STORED_RECORD_CORRUPT": "What was kept is damaged and cannot be used.",
    "REJECTED": "The message was not accepted, and the other side does not say why.",
    "UNKNOWN_FIELD": "The message holds something unknown. Are both programs up to date?",
    "MISSING_FIELD": "The message is not complete. Are both programs up to date?",
    "FIELD_INVALID": "Something that was given has the wrong form.",
    "MESSAGE_TOO_LARGE": "That is more than may be sent at once.",
    "UNSUPPORTED_VERSION": "The other side speaks another version; update the program.",
    "PADDING_INVALID": "The message arrived damaged.",
    "STALE": "The message was too old when it arrived. Is this computer's clock right?",
    "FUTURE_DATED": "The message seems to come from the future. Is this computer's clock right?",
    "TIME_MISMATCH": "The message was altered on its way.",
    "UNKNOWN_KEY_ID": "The other side has changed its keys; try again.",
    "SEAL_INVALID": "The message was altered on its way, or was for somebody else.",
    "INVALID_POINT": "The other side sent a key that is none.",
    "SIGNATURE_INVALID": "A signature does not hold: what came is not what was signed.",
    "IDENTITY_MISMATCH": "Somebody else answers than the one addressed. Nothing of yours was sent.",
    "CREDENTIAL_INVALID": "The other side's registration does not hold together.",
    "CREDENTIAL_EXPIRED": "A registration has run out; it has to be renewed.",
    "CREDENTIAL_REVOKED": "A registration was taken back by the federation.",
    "CREDENTIAL_LIVE": "This credential is the one in use; revoke it by its identity, which may then register again.",
    "ISSUER_UNKNOWN": "A registration was made by a key that is not known here yet. Bring the trust bundle up to date.",
    "ISSUER_REVOKED": "A registration was made by a key that the federation no longer accepts.",
    "CLOUD_KEY_UNKNOWN": "The public cloud signed with a key that is not known here yet. Bring the trust bundle up to date.",
    "CLOUD_KEY_REVOKED": "The public cloud signed with a key that the federation no longer accepts.",
    "BUNDLE_INVALID": "The trust bundle contradicts itself.",
    "BUNDLE_UNPINNED": "This is not the trust bundle whose digest you were given.",
    "BUNDLE_SIGNER_UNKNOWN": "The trust bundle is not signed by a key that may sign it.",
    "BUNDLE_FOREIGN": "The trust bundle is of another federation.",
    "BUNDLE_OUT_OF_SEQUENCE": "The trust bundle does not follow the one that is kept here.",
    "BUNDLE_BACKDATED": "The trust bundle is older than the one that it should follow.",
    "BUNDLE_REWRITES_HISTORY": "The trust bundle contradicts what the federation said of its keys before.",
    "BUNDLE_STALE": "The trust bundle was not confirmed for too long. Connect to the public cloud, and try again.",
    "CERTIFICATE_ILLEGAL": "The doctor's certificate does not come from a medical authority of this federation.",
    "CERTIFICATE_OUT_OF_SCOPE": "The medical authority of the doctor's certificate may not certify this doctor.",
    "CERTIFICATE_EXPIRED": "The doctor's certificate has run out.",
    "CERTIFICATE_REVOKED": "The medical authority has taken the doctor's certificate back.",
    "CERTIFICATE_FOREIGN": "The doctor's certificate is somebody else's.",
    "REVOCATION_LIST_STALE": "There is no current list of what was revoked; without one nothing is accepted. Try again later.",
    "KEY_CONFIRMATION_FAILED": "The other side does not hold the keys that it should.",
    "PROOF_INVALID": "The other side could not prove its registration.",
    "ANSWER_MISMATCH": "The answer belongs to another question.",
    "COMMITMENT_MISMATCH": "The request is not the one that was announced.",
    "CHALLENGE_INVALID": "The registration took too long; start it again.",
    "RENEWAL_NOT_DUE": "The registration at hand is good; it is renewed later.",
    "ATTRIBUTE_CHANGED": "Only what was registered before can be registered again without a ticket.",
    "TICKET_INVALID": "This ticket is not good: unknown, used, run out, or for somebody else. Ask for a new one.",
    "ALREADY_REGISTERED": "This identity is registered already.",
    "NOT_REGISTERED": "Not registered yet: `register` comes first.",
    "GRANT_MISSING": "The patient gave no consent for this.",
    "GRANT_INVALID": "The consent is not this patient's, or is for another doctor.",
    "GRANT_EXPIRED": "The patient's consent has ended; ask for a new one.",
    "GRANT_REVOKED": "The patient has taken this consent back.",
    "GRANT_SCOPE": "The patient's consent does not cover this.",
    "EMERGENCY_NOT_SUPPORTED": "Access in an emergency is not offered yet.",
    "DEPARTMENT_FOREIGN": "The department belongs to another hospital.",
    "ROLE_FORBIDDEN": "This is not for you to ask.",
    "NO_SUCH_RECORD": "There is no such record at the hospital.",
    "RECORD_WITHDRAWN": "The record is withdrawn.",
    "RECORD_ERASED": "The record was erased.",
    "NO_SUCH_ROOM": "This code is no longer good: the doctor's room is closed. Ask for a new code.",
    "SESSION_UNKNOWN": "The answer belongs to another conversation.",
    "SESSION_EXPIRED": "The consultation's twelve hours are over.",
    "SILENT_STREAM": "The connection was open and nothing was said.",
    "READER_STALLED": "What was sent was not taken, and the other side stopped sending. Try again.",
    "CALL_OVERDUE": "The other side took too long and gave up; try again.",
    "NETWORK_FORBIDDEN": "The address lies in no network that may be dialled from here.",
    "RECORD_CUT_SHORT": "The record broke off before its end; nothing of it is shown. Fetch it again.",
    "RECORD_TOO_LARGE": "The record has more than this visit takes; nothing of it is kept.",
    "STORE_FULL": "The disk of this computer is full: nothing more can be kept on it.",
    "RECORD_DIGEST_MISMATCH": "The record is not what its signature says; nothing of it is shown.",
    "REFUSED_BY_PEER": "The other side refused, and does not say why.",
    "PROFILE_UNUSABLE": "The directory cannot be used.",
    "CODE_INVALID": "This is no doctor's code, or it is damaged.",
    "NO_ANSWER": "Nobody answered in time.",
    "NO_SUCH_GRANT": "There is no such consent of yours.",
    "FILE_UNUSABLE": "A file cannot be used.",
    "BIOMETRIC_MISMATCH": "The reading does not match: this device belongs to somebody else. Try again, or ask the desk.",
    "DEVICE_SECRET_UNUSABLE": "This device's secret is missing or damaged; the patient has to enrol again.",
    "PIN_INCORRECT": "The PIN is wrong.",
    "PIN_LOCKED": "The token is locked after too many wrong PINs.",
    "PIN_FINAL_TRY": "One try is left before the token locks itself; unlock it with its maker's tools first.",
    "PIN_UNAVAILABLE": "The PIN could not be had.",
    "TOKEN_NOT_FOUND": "The token is not there: is it plugged in?",
    "TOKEN_EXISTS": "There is a token of this name already.",
    "SETTINGS_INVALID": "The settings cannot be used.",
}
"""Reason -> what it means for the person at the keyboard. Total over federation.errors (tests/unit/clients)."""

_TELLS_MORE = {
    *("PROFILE_UNUSABLE", "NO_ANSWER", "FILE_UNUSABLE", "SETTINGS_INVALID", "PIN_UNAVAILABLE", "FIELD_INVALID"),
    *("GRANT_MISSING", "CODE_INVALID", "NOT_REGISTERED", "DEVICE_SECRET_UNUSABLE", "CREDENTIAL_EXPIRED"),
    *("REVOCATION_LIST_STALE", "NETWORK_FORBIDDEN", "RECORD_TOO_LARGE"),
}
"""Reasons whose errors say themselves what a person needs to know."""

RIGHTS = {"index": "find your records", "read": "read your records", "write": "keep this visit's record"}


def plain(error: BaseException) -> str:
    """Return an error as a sentence for a person, and its reason for whoever helps them."""
    reason = getattr(error, "reason", None)
    if reason not in SENTENCES:
        return sentence(error)
    said = f" ({printable(str(error))})" if reason in _TELLS_MORE and str(error) else ""
    unknown = getattr(error, "unknown_reason", "")
    if unknown:
        said = f" {not_known(unknown)}"
    return f"{SENTENCES[reason]}{said} [{reason}]"


class ClientGroup(TellingGroup):
    """Commands of a person: refusals in plain words."""

    def told(self, error: BaseException) -> click.ClickException:
        """Return a refusal in plain words, with exit code 1."""
        return click.ClickException(plain(error))


def say(words: str = "") -> None:
    """Say something. What came from outside is in it through `printable` alone; what slipped by repaints no terminal here."""
    click.echo(without_control(words))


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Say what could not be shown or saved, and go on: no strange file ends a visit or hides what comes after it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a stranger's file does to what shows it, the visit is not its price
        said = sentence(error) if isinstance(error, EXPECTED) else type(error).__name__
        say(f"  {what[0].upper()}{what[1:]} CAN'T BE SHOWN OR SAVED. ({printable(said)})")


def moment(milliseconds: int) -> str:
    """Return a moment as the person's own clock shows it, or that no calendar has it: a peer chose the number."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"a time that no calendar has ({milliseconds} ms)"


def size(number: int) -> str:
    """Return a number of bytes in words."""
    if number < 1000:
        return counted(number, "byte")
    return f"{number / 1000:.1f} kB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"


def life(duration: timedelta) -> str:
    """Return a duration in hours."""
    hours = duration / timedelta(hours=1)
    return f"{hours:g} hour{'s' * (hours != 1)}"


def qr(text: str) -> str:
    """Draw a text as a QR code (ISO/IEC 18004) in half blocks, for a terminal."""
    drawing = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawing, compact=True)
    return drawing.getvalue()


@contextmanager
def transfer(words: str) -> Iterator[OnProgress]:
    """Show a transfer as it goes, on a terminal; the size of what comes is known only at its end."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def show(hospital_id: str, received: int) -> None:
            if hospital_id not in tasks:
                tasks[hospital_id] = progress.add_task(f"{words} {hospital_id}", total=None)
            progress.update(tasks[hospital_id], completed=received)

        yield show


def export_evidence(book: EvidenceBook, directory: Path) -> int:
    """Write every exhibit to a file of its own, mode 0600; return how many. Raises OSError."""
    safefiles.make_directory(directory)
    count = 0
    for count, kept in enumerate(book.all(), start=1):
        write_new(directory / f"{count:04}-{kept.exhibit.kind}.json", kept.to_json().encode())
    return count


def write_new(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a new file, mode 0600, whole or not at all. Raises FileExistsError, OSError, and what the content raises."""
    with safefiles.creating(path) as file:  # half a record would be taken for one
        for piece in (content,) if isinstance(content, bytes) else content:
            file.write(piece)


class _Network(click.ParamType[str]):
    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        try:
            return str(ipaddress.ip_network(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


dial_only_option = click.option(
    "--dial-only", type=_Network(), multiple=True, help="Connect to this network only, as 10.0.0.0/8 (repeat for more)."
)


class Amount(click.FloatRange):
    """A number in a range; "nan" and "inf" are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the number. Raises BadParameter."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no amount", param, ctx)
        return number


@contextmanager
def trace_file(path: Path | None) -> Iterator[TextIO | None]:
    """Open the file for `--trace`, mode 0600, or none."""
    if path is None:
        yield None
        return
    with suppress(FileExistsError):
        safefiles.create(path, b"")
    with path.open("a", encoding="utf-8") as file:
        yield file
