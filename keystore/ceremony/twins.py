"""The same new key in several tokens: each makes a transport key, the first makes the key and wraps it, every token takes it.

The transport keys stay in their tokens until the last key is there, so that their words can be compared in peace and a ceremony
that was interrupted goes on; then they are destroyed. What is EXTRACTABLE is in a session of the first token alone, and ends with
it (`hsm.transport`).
"""

import hashlib
import hmac
from typing import Final

from hsm import Token, Wrapped
from keystore.backup import RecoverableKey, check_by, probe_by
from keystore.ceremony.console import Room
from keystore.ceremony.errors import TransportKeyWrong, TwinsDiffer
from keystore.ceremony.readback import record_destroyed, record_key, spec_of
from keystore.ceremony.steps import Step

TRANSPORT: Final = "twin-transport"


def make_transports(_step: Step, room: Room) -> None:
    """Make each token's transport key, and show what it is there and in the first token. Raises TransportKeyWrong, HsmError."""
    _destroy_everywhere(TRANSPORT, room, why="half-made")
    room.state.made = sorted({*room.state.made, TRANSPORT})
    room.state.save()
    for name, token in room.changed_tokens.items():
        token.make_transport(TRANSPORT)
        made = hashlib.sha256(token.transport(TRANSPORT))
        taken = hashlib.sha256(room.token.take_transport(token.transport(TRANSPORT)))
        facts = {"serial": token.serial, "sha256": made.hexdigest(), "taken_sha256": taken.hexdigest()}
        room.transcript.add("transport", room.plan.roles.administrator, **facts)
        room.show_digest(f"the transport key of {token.label!r}", made.digest())
        room.show_digest(f"the same, as {room.token.label!r} takes it", taken.digest())
        if not hmac.compare_digest(made.digest(), taken.digest()):
            raise TransportKeyWrong(f"{room.token.label!r} takes the transport key of {token.label!r} for another")
        room.state.transports[name] = made.hexdigest()
        room.state.save()


def make_twin(step: Step, room: Room) -> None:
    """Put one new key into every token, and compare what they hold. Raises TransportKeyWrong, TwinsDiffer, HsmError."""
    key = next(key for key in room.plan.recoverable if key.label == step.subject)
    if key.label not in room.state.made:
        _make(key, room)
    checks = set()
    for token in room.changed_tokens.values():
        check = check_by(token, key)
        probe_by(token, key)
        record_key(spec_of(key), token, room, imported=True, check=check.hex())
        room.desk.say(f"    check value in {token.label!r}: {check.hex()}")
        checks.add(check)
    if len(checks) != 1:
        raise TwinsDiffer(f"the tokens hold different keys {key.label!r}")


def _make(key: RecoverableKey, room: Room) -> None:
    """Make a key; what an interruption left of it, in whichever token, is destroyed first."""
    if room.state.making == key.label:
        _destroy_everywhere(key.label, room, why="half-made")
    room.state.making = key.label
    room.state.save()
    transports = [_shown(name, token, room) for name, token in room.changed_tokens.items()]
    wrapped = dict(zip(room.changed_tokens, room.token.wrap_new(key.policy, transports), strict=True))
    sent = {
        token.serial: _digests(wrapped[name], room.state.transports[name])
        for name, token in room.changed_tokens.items()
    }
    room.transcript.add("wrapped", room.plan.roles.administrator, label=key.label, sent=sent)
    for name, token in room.changed_tokens.items():
        token.unwrap(key.label, key.policy, TRANSPORT, wrapped[name])
    room.state.made.append(key.label)
    room.state.making = None
    room.state.save()


def _shown(name: str, token: Token, room: Room) -> bytes:
    """Return a token's transport key. Raises TransportKeyWrong unless it is the one that everybody saw."""
    public = token.transport(TRANSPORT)
    shown = room.state.transports.get(name, "")
    if not hmac.compare_digest(hashlib.sha256(public).hexdigest().encode(), shown.encode()):
        raise TransportKeyWrong(f"{token.label!r} has another transport key than the one that was shown")
    return public


def _digests(wrapped: Wrapped, transport: str) -> dict[str, object]:
    blobs = [hashlib.sha256(blob).hexdigest() for blob in (*wrapped.carriers, wrapped.content)]
    return {"transport_sha256": transport, "sha256": blobs}


def destroy_transports(_step: Step, room: Room) -> None:
    """Destroy the transport keys: nothing that was wrapped opens any more. Raises HsmError."""
    _destroy_everywhere(TRANSPORT, room, why="all keys are there")
    room.state.made = [label for label in room.state.made if label != TRANSPORT]
    room.state.save()


def _destroy_everywhere(label: str, room: Room, *, why: str) -> None:
    for token in room.changed_tokens.values():
        if token.has(label):
            token.destroy(label)
            record_destroyed(label, token, room, why)
