"""Running a ceremony: step after step, each on the record before the next; and what happens when one fails.

A ceremony that is refused or fails is undone: the keys and files that it made are destroyed, and the transcript says so. One
that is interrupted (Ctrl-C, a kill, a power cut) leaves its state beside the transcript, and is gone on with or undone later.
"""

import platform
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from hsm import Token
from hsm.errors import HsmError
from keystore.ceremony import actions
from keystore.ceremony.console import YES, Desk, Room
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
from keystore.ceremony.steps import SIGN, Step, script
from keystore.ceremony.transcript import State, Transcript, file_digest, require_absent, source_digest
from keystore.ceremony.verify import FORMAT, verify_earlier
from keystore.errors import KeystoreError
from keystore.pem import read_certificate, read_crl

Now = Callable[[], datetime]
FAILURES = (KeystoreError, HsmError, OSError, ValueError)


def state_path(transcript: Path) -> Path:
    """Return where a ceremony keeps its state."""
    return transcript.with_name(transcript.name + ".state")


def run(plan: Plan, desk: Desk, transcript: Path, now: Now, *, rehearsal: bool = False) -> Transcript:
    """Hold a ceremony. Raises what stopped it; OutputExists, CertificateRejected for an authority's file that is none,
    ToolMissing, ClockImplausible before a token is touched.
    """
    for path in (transcript, state_path(transcript)):
        require_absent(path)
    if plan.issuer is not None:
        _require_readable(plan.issuer)
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
    """Look at the authority's files while only the administrator is at the table. Whose they are, is seen with its token."""
    read_certificate(issuer.certificate.read_bytes())
    if issuer.previous_crl is not None:
        read_crl(issuer.previous_crl.read_bytes())


def resume(plan: Plan, desk: Desk, transcript: Path, now: Now) -> Transcript:
    """Go on with an interrupted ceremony, or undo it if the administrator does not say "Yes". Raises ResumeRefused."""
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


def _undo_at_last(room: Room) -> NoReturn:
    """Finish an abort whose token was away. Raises CeremonyAborted, whatever comes of it."""
    try:
        _abort(room, CeremonyAborted.reason, "what the aborted ceremony left is destroyed")
    finally:
        room.close()
    raise CeremonyAborted("the ceremony was aborted before; the transcript says what became of its keys")


def _preflight(plan: Plan, now: datetime) -> None:
    """Check what can be checked before any token is touched."""
    for path in plan.outputs.values():
        require_absent(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "there is no such directory", str(path.parent))
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
        "roles": {name: plan.roles.role_of(name) for name in plan.roles.everyone},
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
        else:
            _preflight(room.plan, room.now())
        for step in steps:
            _take(step, room)
    except (KeyboardInterrupt, EOFError) as error:
        room.transcript.reload()
        room.transcript.add("interrupted", lead, step=room.state.step, half_made=room.state.making)
        raise Interrupted(f"interrupted at {room.state.step!r}; --resume goes on, or undoes what was made") from error
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

    So it is with a PIN that was mistyped by somebody about to sign, or a PIN or share when the token is opened again.
    """
    reopening = resumed and not room.plan.tokens.keys() <= room.tokens.keys()
    signing = room.state.step == SIGN and isinstance(error, HsmError)
    return signing or (reopening and not isinstance(error, ConfirmationRefused))


def _agree_to_go_on(room: Room) -> None:
    name = room.plan.roles.administrator
    typed = room.desk.ask("resume", f'{name}: type "Yes" to go on; anything else undoes what was made')
    if typed != YES:
        raise ConfirmationRefused(f"{name} undid the interrupted ceremony")


def _take(step: Step, room: Room) -> None:
    room.state.step = step.id
    room.state.save()
    room.desk.say(f"\n[{step.id}] {step.do}")
    if step.action != "sign":  # after "closed" there are signatures alone
        room.transcript.add("step", room.plan.roles.administrator, step=step.id, do=step.do)
    actions.act(step, room)
    room.confirm(step.id, step.confirm)


def _abort(room: Room, reason: str, sentence: str) -> None:
    """Undo what was made, and put on record why, what was undone, and what could not be."""
    left = _destroy_made(room)
    removed = _remove_outputs(room)
    facts = {"reason": reason, "sentence": sentence, "removed": removed, "left_in_token": left}
    room.transcript.add("aborted", room.plan.roles.administrator, **facts)
    if not left:
        room.state.forget()
        return
    room.state.aborted = True
    room.state.save()
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
            provider = actions.pin_provider(room, name)
            room.tokens[name] = actions.open_checked(room.plan.tokens[name], provider)
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
