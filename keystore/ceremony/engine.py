"""Running a ceremony: step after step, each on the record before the next; and what happens when one fails.

A ceremony that somebody stops, or at which something is found that cannot be, is undone: the keys and files that it made are
destroyed, and the transcript says so. One that is interrupted (Ctrl-C, a closed terminal, a power cut) or fails by what people
can mend (a PIN, shares, a token that is away) leaves its state beside the transcript, and is gone on with or undone later.
"""

import platform
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from hsm import Token
from hsm.errors import (
    HsmError,
    PinFinalTry,
    PinIncorrect,
    PinLocked,
    PinUnavailable,
    TokenBusy,
    TokenInUse,
    TokenNotFound,
    TokenUnavailable,
)
from keystore.ceremony import actions
from keystore.ceremony.access import open_checked, pin_provider
from keystore.ceremony.console import UNDO, YES, Desk, Room, word
from keystore.ceremony.errors import (
    CeremonyAborted,
    ClockImplausible,
    ConfirmationRefused,
    Interrupted,
    ResumeRefused,
    reason_of,
)
from keystore.ceremony.openssl import OpenSsl
from keystore.ceremony.outputs import require_openssl
from keystore.ceremony.plan import Issuer, Plan
from keystore.ceremony.readback import record_destroyed
from keystore.ceremony.steps import SIGN, Step, minutes, script
from keystore.ceremony.transcript import State, Transcript, file_digest, require_absent, source_digest
from keystore.ceremony.verify import FORMAT, verify_earlier
from keystore.errors import CorruptShare, DuplicateShare, KeystoreError, MixedShares, TooFewShares
from keystore.pem import read_certificate, read_crl

Now = Callable[[], datetime]
FAILURES = (KeystoreError, HsmError, OSError, ValueError)
MENDED_BY_PEOPLE = (
    *(PinIncorrect, PinFinalTry, PinLocked, PinUnavailable),
    *(TokenNotFound, TokenUnavailable, TokenBusy, TokenInUse),
    *(CorruptShare, DuplicateShare, MixedShares, TooFewShares),
)
"""What says nothing against what was made: it waits for --resume."""


def state_path(transcript: Path) -> Path:
    """Return where a ceremony keeps its state."""
    return transcript.with_name(transcript.name + ".state")


def run(plan: Plan, desk: Desk, transcript: Path, now: Now, *, rehearsal: bool = False) -> Transcript:
    """Hold a ceremony. Raises what stopped it; before anything is begun OutputExists, ToolMissing, ClockImplausible, OSError, and
    CertificateRejected or TranscriptInvalid for a file that is none.
    """
    require_absent(transcript, state_path(transcript), *plan.outputs.values())
    _preflight(plan, now())
    openssl = OpenSsl.find()
    require_openssl(plan, openssl, rehearsal=rehearsal)
    opened = _opened(plan, openssl, rehearsal=rehearsal)
    kept = Transcript.begin(transcript, now)
    state = State(state_path(transcript), plan.digest.hex())
    state.save()
    room = Room(plan, desk, kept, state, now, openssl=openssl)
    kept.add("opened", plan.roles.administrator, **opened)
    return _hold(room, script(plan))


def _require_readable(issuer: Issuer) -> None:
    """Look at the authority's files. Whose they are, is seen with its token."""
    read_certificate(issuer.certificate.read_bytes())
    if issuer.previous_crl is not None:
        read_crl(issuer.previous_crl.read_bytes())


def resume(plan: Plan, desk: Desk, transcript: Path, now: Now) -> Transcript:
    """Go on with an interrupted ceremony, or undo it if the administrator says so. Raises ResumeRefused."""
    _require_interrupted(transcript)
    state = State.read(state_path(transcript), plan.digest.hex())
    openssl = OpenSsl.find()
    require_openssl(plan, openssl, rehearsal=False)
    kept = Transcript.reopen(transcript, now)
    if not kept.entries:
        raise ResumeRefused(f"{transcript} is empty: remove it and {state.path.name}, and begin anew")
    room = Room(plan, desk, kept, state, now, openssl=openssl)
    kept.add("resumed", plan.roles.administrator, step=state.step, half_made=state.making)
    if state.aborted:
        _undo_at_last(room)
    desk.say(f"The ceremony was interrupted at the step {state.step!r}; half-made: {state.making or 'nothing'}.")
    return _hold(room, _rest(room, script(plan)), resumed=True)


def _require_interrupted(transcript: Path) -> None:
    """Raise ResumeRefused, saying how the ceremony ended, if nothing is left to go on with."""
    if state_path(transcript).exists() or not transcript.exists():
        return
    entries = Transcript.reopen(transcript, datetime.now).entries
    last = entries[-1] if entries else None
    if last is None:
        raise ResumeRefused(f"{transcript} is empty: remove it, and begin anew")
    if last.event == "aborted":
        raise ResumeRefused(
            f"that ceremony was stopped and undone ({last.data.get('reason')}: {last.data.get('sentence')});"
            f" keep {transcript}, and begin anew with another --output"
        )
    raise ResumeRefused(f"that ceremony is over: {transcript} ends with {last.event!r} in line {last.number}")


def _undo_at_last(room: Room) -> NoReturn:
    """Finish an abort whose token was away. Raises CeremonyAborted, whatever comes of it."""
    try:
        _abort(room, CeremonyAborted.reason, "what the aborted ceremony left is destroyed")
    finally:
        room.close()
    raise CeremonyAborted("the ceremony was aborted before; the transcript says what became of its keys")


def _preflight(plan: Plan, now: datetime) -> None:
    """Check what can be checked while only the administrator is at the table."""
    for path in plan.outputs.values():
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "there is no such directory", str(path.parent))
    if plan.issuer is not None:
        _require_readable(plan.issuer)
    if plan.previous is not None:
        pins = {name: participant.public_key for name, participant in plan.participants.items()}
        last = verify_earlier(plan.previous.name, plan.previous.read_bytes(), pins).entries[-1]
        if datetime.fromisoformat(last.at) > now:
            raise ClockImplausible(f"this machine's clock is behind the previous ceremony's last line, {last.at}")


def _opened(plan: Plan, openssl: OpenSsl | None, *, rehearsal: bool) -> dict[str, object]:
    previous = file_digest(plan.previous).hex() if plan.previous else None
    return {
        "format": FORMAT,
        "rehearsal": rehearsal,
        "kind": plan.kind.name,
        "title": plan.title,
        "file_sha256": plan.digest.hex(),
        "previous_sha256": previous,
        "tool": f"medunion {version('medunion')}",
        "tool_sha256": source_digest().hex(),
        "python": platform.python_version(),
        "openssl": openssl.version if openssl else None,
        "place": plan.place,
        "roles": {name: plan.roles.role_of(name) for name in plan.roles.everyone},
        "affiliations": {name: who.affiliation for name, who in plan.participants.items() if who.affiliation},
        "participants": {name: participant.public_key for name, participant in plan.participants.items()},
    }


def _rest(room: Room, steps: list[Step]) -> list[Step]:
    """Return the steps to do: those that open tokens again, and those from where it stopped."""
    ids = [step.id for step in steps]
    reached = ids.index(room.state.step) if room.state.step in ids else 0
    opening = [step for step in steps[:reached] if step.action in {"open-token", "open-issuer"}]
    return opening + steps[reached:]


def _hold(room: Room, steps: list[Step], *, resumed: bool = False) -> Transcript:
    lead = room.plan.roles.administrator
    try:
        if resumed:
            _agree_to_go_on(room)
        for number, step in enumerate(steps):
            _announce(step, steps[number:], room)
            _take(step, room)
    except (KeyboardInterrupt, EOFError) as error:
        room.transcript.reload()
        room.transcript.add("interrupted", lead, step=room.state.step, half_made=room.state.making)
        raise Interrupted(f"interrupted at {room.state.step!r}; nothing was undone") from error
    except FAILURES as error:
        failed = {"step": room.state.step, "reason": reason_of(error), "sentence": str(error)}
        room.transcript.add("failed", lead, **failed)
        if not _may_pass(room, error, resumed=resumed):
            _abort(room, reason_of(error), str(error))
        raise
    finally:
        room.close()
    room.state.forget()
    return room.transcript


def _may_pass(room: Room, error: BaseException, *, resumed: bool) -> bool:
    """Return whether a failure undoes nothing, so that --resume may try again.

    So it is with what people can mend, with every fault of a token that is to sign, and with any while a token is opened again.
    """
    reopening = resumed and not room.plan.tokens.keys() <= room.tokens.keys()
    signing = room.state.step == SIGN and isinstance(error, HsmError)
    mended = isinstance(error, MENDED_BY_PEOPLE)
    return mended or signing or (reopening and not isinstance(error, ConfirmationRefused))


def _agree_to_go_on(room: Room) -> None:
    """Have the administrator decide. Raises ConfirmationRefused if what was made is to be undone."""
    name = room.plan.roles.administrator
    text = f"{name}: Yes goes on; undo destroys what was made, for good"
    while (typed := word(room.desk.ask("resume", text))) != YES:
        if typed == UNDO:
            raise ConfirmationRefused(f"{name} undid the interrupted ceremony")
        room.desk.try_again("resume", ConfirmationRefused(f"{name} typed neither Yes nor undo"))


def _announce(step: Step, rest: list[Step], room: Room) -> None:
    total = len(script(room.plan))
    all_that_is_left = minutes(sum(other.seconds for other in rest))
    about = f"about {minutes(step.seconds)} min" if step.seconds >= 60 else "less than a minute"
    room.desk.say(
        f"\n[{step.id}] Step {_number(step, room.plan)} of {total}, {about}; about {all_that_is_left} min to the end."
    )
    room.desk.say(step.do)


def _number(step: Step, plan: Plan) -> int:
    return [other.id for other in script(plan)].index(step.id) + 1


def _take(step: Step, room: Room) -> None:
    room.state.step = step.id
    room.state.save()
    if step.action != "sign":  # after "closed" there are signatures alone
        facts = {"step": step.id, "do": step.do, "question": step.question or None, "seconds": step.seconds}
        room.transcript.add("step", room.plan.roles.administrator, **facts)
    actions.act(step, room)
    room.confirm(step)


def _abort(room: Room, reason: str, sentence: str) -> None:
    """Undo what was made, and put on record why, what was undone, and what could not be."""
    room.state.aborted = True  # whatever interrupts this: --resume then undoes, and nothing else
    room.state.save()
    left = _destroy_made(room)
    removed = _remove_outputs(room)
    facts = {"reason": reason, "sentence": sentence, "removed": removed, "left_in_token": left}
    room.transcript.add("aborted", room.plan.roles.administrator, **facts)
    if not left:
        room.state.forget()
        return
    with suppress(EOFError):
        room.desk.say(f"The token still holds {', '.join(left)}: bring it back and use --resume to undo this.")


def _destroy_made(room: Room) -> list[str]:
    """Destroy the keys that this ceremony made; return those that are left, because a token is away."""
    labels = [*room.state.made, *([room.state.making] if room.state.making else [])]
    return [f"{label}{place}" for name, place in _places(room.plan) for label in _destroy_in(name, labels, room)]


def _places(plan: Plan) -> list[tuple[str, str]]:
    """Return each token's name, and how it is told from the others."""
    return [(name, f" in {uri.token}" if plan.twins else "") for name, uri in plan.tokens.items()]


def _destroy_in(name: str, labels: list[str], room: Room) -> list[str]:
    left = []
    try:
        if labels and name not in room.tokens:  # one attempt, however many keys there are: tokens count wrong PINs
            provider = pin_provider(room, name)
            room.tokens[name] = open_checked(room.plan.tokens[name], provider)
    except (HsmError, KeystoreError):
        return labels
    for label in labels:
        try:
            _destroy(room, room.tokens[name], label)
        except HsmError:
            left.append(label)
    return left


def _destroy(room: Room, token: Token, label: str) -> None:
    if token.has(label):
        token.destroy(label)
    record_destroyed(label, token, room, "the ceremony was aborted")


def _remove_outputs(room: Room) -> list[str]:
    for name in room.state.outputs:
        room.plan.outputs[name].unlink(missing_ok=True)
    return sorted(room.state.outputs)
