"""What a ceremony's steps do. Each action may be called again after an interruption: it finds what it made before.

The PIN of the ceremony's token is typed by the administrator, or in shares that the officers hold. No PIN, no share and no seed
is written anywhere by us. A PIN that was put in shares is tested with shares that the officers give back, before the token is
told of it; until then its old PIN holds. If a backup is interrupted before every officer has typed their share back, its keys are
destroyed and made again from another seed (docs/adr/0017-backup.md).
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from hsm import Pin, Token, TokenUri
from hsm.errors import PinIncorrect
from keystore.backup import BackupCard, RecoverableKeys, new_seed
from keystore.ceremony import outputs, twins
from keystore.ceremony.access import CHANGING, SPLIT, give_out, open_asking, open_own, quorum_of, whose_token
from keystore.ceremony.console import OpenIssuer, Room
from keystore.ceremony.errors import (
    CeremonyError,
    ContentWrong,
    InventoryUnexpected,
    NoncesBiased,
    NoncesDeterministic,
    OutputExists,
    ParticipantKeyWrong,
)
from keystore.ceremony.kinds import KeySpec
from keystore.ceremony.outputs import second_opinion
from keystore.ceremony.readback import record_destroyed, record_key, spec_of
from keystore.ceremony.steps import Action, Step
from keystore.ceremony.transcript import Entry, file_digest, signed_message, write_new
from keystore.errors import BackupCardRejected, CertificateRejected
from keystore.generations import purpose_and_number
from keystore.keyring import generate
from keystore.pem import read_certificate
from keystore.policies import MEDICAL_AUTHORITY, POLICIES, rotatable_purpose
from keystore.quorum import Share, combine, combine_pin, split_pin
from keystore.signatures import SigningKey


def act(step: Step, room: Room) -> None:
    """Do what a step does. Raises CeremonyError, HsmError, OSError."""
    _ACTIONS[step.action](step, room)


def _nothing(step: Step, room: Room) -> None:
    """Leave it to the people."""


def _show_file(_step: Step, room: Room) -> None:
    room.desk.say(f"{room.plan.title}: {room.plan.kind.purpose}")
    room.show_digest("the ceremony's file", room.plan.digest)


def _open_token(step: Step, room: Room) -> None:
    uri = room.plan.tokens[step.subject]
    token = open_own(step.subject, room)
    room.tokens[step.subject] = token
    facts = _facts(token, uri)
    for name, value in facts.items():
        room.desk.say(f"{name}: {value}")
    room.transcript.add("token", room.plan.roles.administrator, **facts)


def _facts(token: Token, uri: TokenUri) -> dict[str, str]:
    return {
        "label": token.label,
        "serial": token.serial,
        "manufacturer": token.manufacturer,
        "model": token.model,
        "firmware": token.firmware,
        "module": uri.module_path.name,
        "module_sha256": file_digest(uri.module_path).hex(),
    }


def _open_issuer(_step: Step, room: Room) -> None:
    issuer = room.plan.issuer
    if issuer is None:
        raise CertificateRejected("the file names no medical authority")
    token = open_asking(
        "issuer", issuer.token, room, whose="the medical authority's token", by=room.plan.roles.administrator
    )
    room.tokens["issuer"] = token
    certificate = read_certificate(issuer.certificate.read_bytes())
    der = certificate.public_bytes(Encoding.DER)
    if certificate.public_key() != token.signing(issuer.key, POLICIES[MEDICAL_AUTHORITY]).public_key():
        raise CertificateRejected("the certificate is not that of the key in the medical authority's token")
    room.issuer = OpenIssuer(token, certificate)
    room.show_digest("the authority's certificate", file_digest(issuer.certificate))
    facts = _facts(token, issuer.token)
    if issuer.previous_crl is not None:  # before a key is made: what it lacks, the next list would lack
        newest = outputs.newest_crl(room, certificate)
        room.desk.say(f"the authority's newest list: number {outputs.number_of(newest)}, {len(newest)} revoked")
        facts["previous_crl_number"] = str(outputs.number_of(newest))
        facts["previous_crl_sha256"] = file_digest(issuer.previous_crl).hex()
    room.transcript.add("issuer", room.plan.roles.administrator, certificate=der.hex(), **facts)


def _inventory(_step: Step, room: Room) -> None:
    for name, token in room.changed_tokens.items():
        if name not in room.state.before:
            found = labels_in(token)
            _require_expected(room, name, found)
            room.state.before[name] = sorted(found)
            room.state.save()
        _record_inventory(room, token, room.state.before[name])


def _record_inventory(room: Room, token: Token, labels: Iterable[str]) -> None:
    held = sorted(labels)
    room.desk.say(f"The token {token.label!r} holds: {', '.join(held) or 'nothing'}")
    room.transcript.add("inventory", room.plan.roles.administrator, serial=token.serial, labels=held)


def _require_expected(room: Room, name: str, found: set[str]) -> None:
    there = sorted(room.plan.new_labels_in(name) & found)
    if there:
        raise InventoryUnexpected(f"the token holds {', '.join(there)} already; keys are never replaced in place")
    missing = sorted(set(room.plan.needed_keys) - found)
    if missing:
        raise InventoryUnexpected(f"the token does not hold {', '.join(missing)}")
    newer = sorted(label for label in found for old in room.plan.followed if _is_newer(label, old))
    if newer:
        raise InventoryUnexpected(f"the token holds {', '.join(newer)} already: the newest generation is followed")


def _is_newer(label: str, old: str) -> bool:
    """Return whether both are generations of one purpose, and the first the later."""
    if rotatable_purpose(label) is None or rotatable_purpose(label) != rotatable_purpose(old):
        return False
    return purpose_and_number(label)[1] > purpose_and_number(old)[1]


def labels_in(token: Token) -> set[str]:
    """Return the labels of all stored objects of a token."""
    return {info.label for info in token.objects() if info.stored}


def _make_key(step: Step, room: Room) -> None:
    spec = next(spec for spec in room.plan.new_keys if spec.label == step.subject)
    if spec.label not in room.state.made:
        _generate(spec, room)
    record_key(spec, room.token, room)


def _generate(spec: KeySpec, room: Room) -> None:
    """Make a key; one that was half-made when the ceremony was interrupted is destroyed first."""
    if room.state.making == spec.label and room.token.has(spec.label):
        room.token.destroy(spec.label)
        record_destroyed(spec.label, room.token, room, "half-made")
    room.state.making = spec.label
    room.state.save()
    generate(room.token, spec.label, spec.policy)
    room.state.made.append(spec.label)
    room.state.making = None
    room.state.save()


def _write_output(step: Step, room: Room) -> None:
    path = room.plan.outputs[step.subject]
    if not room.state.outputs.get(step.subject):
        _write(step.subject, path, room)
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    if digest.hexdigest() != room.state.outputs[step.subject]:
        raise ContentWrong(f"{path} was changed since it was written")
    verified_by = second_opinion(step.subject, content, room)
    facts = {"name": step.subject, "file": path.name, "sha256": digest.hexdigest(), "content": content.hex()}
    room.transcript.add("output", room.plan.roles.administrator, verified_by=verified_by, **facts)
    room.show_digest(path.name, digest.digest())


def _write(name: str, path: Path, room: Room) -> None:
    """Write an output; one that was half-written when the ceremony was interrupted is removed first."""
    if name in room.state.outputs:
        path.unlink(missing_ok=True)
    content = outputs.make(name, room)
    room.state.outputs[name] = ""
    room.state.save()
    try:
        write_new(path, content)
    except OutputExists:
        del room.state.outputs[name]  # somebody else's: not ours to clean up
        room.state.save()
        raise
    room.state.outputs[name] = hashlib.sha256(content).hexdigest()
    room.state.save()


def _destroy_key(step: Step, room: Room) -> None:
    if step.subject not in room.state.destroyed:
        room.state.making = None
        if room.token.has(step.subject):
            room.token.destroy(step.subject)
        room.state.destroyed.append(step.subject)
        room.state.save()
    record_destroyed(step.subject, room.token, room, "as the file says")
    room.desk.say(f"destroyed: {step.subject}")


def _final_inventory(_step: Step, room: Room) -> None:
    for name, token in room.changed_tokens.items():
        before = set(room.state.before.get(name, ()))
        expected = (before | room.plan.new_labels_in(name)) - set(room.plan.keys.destroy)
        found = labels_in(token)
        if found != expected:
            raise InventoryUnexpected(
                f"the token holds other objects than it should: {', '.join(sorted(found ^ expected))}"
            )
        loose = sorted({info.label for info in token.objects() if info.is_secret and info.extractable} - before)
        if loose:
            raise InventoryUnexpected(f"the token lets out what this ceremony made: {', '.join(loose)}")
        _record_inventory(room, token, found)


_TOLD_EVERY: Final = 1024


def _examine_nonces(_step: Step, room: Room) -> None:
    """Have each token sign with a throw-away key, and judge its nonces. Raises NoncesBiased, NoncesDeterministic, HsmError."""
    for token in room.changed_tokens.values():
        _examine(token, room)


def _examine(token: Token, room: Room) -> None:
    def tell(signatures: int) -> None:
        if signatures % _TOLD_EVERY == 0:
            room.desk.say(f"{signatures} signatures")

    report = token.nonces(progress=tell)
    counted = {
        "serial": token.serial,
        "signatures": report.signatures,
        "distinct": report.distinct,
        "fair": report.fair,
    }
    worst = {"worst_bit": report.worst_bit, "worst_z": f"{report.worst_z:.2f}"}
    room.transcript.add("nonces", room.plan.roles.administrator, **counted, **worst)
    room.desk.say(f"{report.distinct} different nonces of {report.signatures}")
    room.desk.say(f"Bit {report.worst_bit} is the farthest from chance, by {report.worst_z:.2f} standard deviations.")
    if report.distinct * 2 == report.signatures:  # each digest was signed twice
        raise NoncesDeterministic("the token signs a digest with one nonce, which follows from it and from the key")
    if not report.fair:
        raise NoncesBiased("the token's nonces are not chance: they give its keys away")


_PIN_BYTES: Final = 11
"""88 bits: in base64url 15 characters, so that a share has 20 words (docs/adr/0040-ceremonies-at-the-keyboard.md)."""


def _split_pin(_step: Step, room: Room) -> None:
    """Give the tokens a new PIN from the first one's random numbers, and each officer a share of it. Raises HsmError."""
    if all(room.state.pin_held.get(name) == SPLIT for name in room.plan.tokens):
        return
    threshold, officers = room.plan.threshold, room.plan.roles.officers
    if threshold is None:
        raise CeremonyError("the file names no quorum")
    pin = Pin(base64.urlsafe_b64encode(room.token.random(_PIN_BYTES)).decode().rstrip("="))
    shares = split_pin(pin, threshold=threshold, holders=officers)
    back = combine_pin(give_out(shares, room))
    for name in room.plan.tokens:
        _change_pin(room, name, back)
    facts = {"threshold": threshold, "officers": list(officers), "splitting": shares[0].splitting}
    room.transcript.add("pin-split", room.plan.roles.administrator, **facts)


def _change_pin(room: Room, name: str, new: Pin) -> None:
    """Change a token's PIN; the old one was typed when it was opened, and is typed for the last time."""
    if (
        room.state.pin_held.get(name) == SPLIT
    ):  # it was in shares already if changing the tokens' PINs was interrupted midway
        _change(room, name, room.pins[name](), new)
        return
    lead, whose = room.plan.roles.administrator, whose_token(name, room)
    old = room.pin(name, f"{lead}, for the last time: PIN of {whose}", lead)
    try:
        _change(room, name, old(), new)
    except PinIncorrect as error:
        room.desk.try_again(f"pin.{name}", PinIncorrect(f"{error} Its PIN is as it was."))
        _change(room, name, old(), new)


def _change(room: Room, name: str, old: Pin, new: Pin) -> None:
    held = room.state.pin_held.get(name)
    _note_pin(room, name, CHANGING)
    try:
        room.tokens[name].change_pin(old, new)
    except PinIncorrect:
        _note_pin(room, name, held)
        raise
    room.pins[name] = lambda: new  # a token that is lost and found again is logged in to with the PIN that it has now
    _note_pin(room, name, SPLIT)


def _note_pin(room: Room, name: str, held: str | None) -> None:
    if held is None:
        room.state.pin_held.pop(name, None)
    else:
        room.state.pin_held[name] = held
    room.state.save()


def _make_from_seed(_step: Step, room: Room) -> None:
    """Make the keys, have the shares written down and typed back. Raises MixedShares, CorruptShare, HsmError."""
    threshold = room.plan.threshold
    if threshold is None:
        raise CeremonyError("the file names no quorum")
    if room.state.card is None:
        _start_anew(room)
        holders = room.plan.roles.officers
        seed = new_seed(room.token)
        made = RecoverableKeys.create(room.token, room.plan.recoverable, seed, threshold=threshold, holders=holders)
        give_out(list(made.shares), room)
        room.state.card = made.card.to_json()
        room.state.save()
    _record_backup(BackupCard.from_json(room.state.card), room)


def _restore_keys(_step: Step, room: Room) -> None:
    """Put the keys of the card into the token. Raises TooFewShares, MixedShares, ..., BackupCardRejected, HsmError."""
    if room.plan.backup is None or room.plan.backup.card is None:
        raise CeremonyError("the file names no card")
    card = BackupCard.from_json(room.plan.backup.card.read_text(encoding="utf-8"))
    if {entry.key for entry in card.keys} != set(room.plan.recoverable):
        raise BackupCardRejected("The card is of other keys than this ceremony's.")
    shares = quorum_of(room, _fitting, splitting=card.splitting)
    _start_anew(room)
    token = room.tokens.pop("token")  # a restore that fails closes it
    room.tokens["token"] = RecoverableKeys.restore(lambda: token, shares, card)
    _record_backup(card, room)


def _start_anew(room: Room) -> None:
    """Destroy what an interrupted attempt left, and note what is about to be made."""
    labels = [key.label for key in room.plan.recoverable]
    for label in set(labels) & set(room.state.made):
        if room.token.has(label):
            room.token.destroy(label)
            record_destroyed(label, room.token, room, "half-made")
    room.state.made = sorted({*room.state.made, *labels})
    room.state.save()


def _fitting(shares: list[Share]) -> list[Share]:
    """Return shares that give something together. Raises MixedShares, TooFewShares, DuplicateShare."""
    combine(shares)
    return shares


def _record_backup(card: BackupCard, room: Room) -> None:
    facts = {"threshold": card.threshold, "officers": list(card.holders), "splitting": card.splitting}
    room.transcript.add("backup", room.plan.roles.administrator, card=card.digest.hex(), **facts)
    room.show_digest("the backup card", card.digest)
    for key in room.plan.recoverable:
        record_key(spec_of(key), room.token, room, imported=True)


def _sign(_step: Step, room: Room) -> None:
    """Close the transcript and have it signed. Raises ParticipantKeyWrong, HsmError.

    One token is open at a time, so that one reader will do.
    """
    closed = room.transcript.add("closed", room.plan.roles.administrator, steps="done")
    room.show_digest("the transcript", closed.digest)
    for name in sorted(room.plan.participants):
        _sign_as(name, closed, room)


def _sign_as(name: str, closed: Entry, room: Room) -> None:
    participant = room.plan.participants[name]
    whose = f"{name}'s token {participant.token.token!r}"
    with open_asking(name, participant.token, room, whose=whose, by=name, on_record=False) as token:
        key = SigningKey(token.signing(participant.key))
        if key.verifying_key.data.hex() != participant.public_key:
            raise ParticipantKeyWrong(f"{name}'s token holds another key than the ceremony's file names")
        signature = key.sign(signed_message(closed.digest))
    room.transcript.add("signed", name, signature=signature.hex())
    room.desk.say(f"{name} has signed.")


_ACTIONS: Final[Mapping[Action, Callable[[Step, Room], None]]] = {
    "nothing": _nothing,
    "show-file": _show_file,
    "open-token": _open_token,
    "open-issuer": _open_issuer,
    "inventory": _inventory,
    "examine-nonces": _examine_nonces,
    "split-pin": _split_pin,
    "make-key": _make_key,
    "make-from-seed": _make_from_seed,
    "restore-keys": _restore_keys,
    "make-transports": twins.make_transports,
    "make-twin": twins.make_twin,
    "destroy-transports": twins.destroy_transports,
    "write-output": _write_output,
    "destroy-key": _destroy_key,
    "final-inventory": _final_inventory,
    "sign": _sign,
}
