"""What a ceremony's steps do. Each action may be called again after an interruption: it finds what it made before."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from hsm import PinProvider, Token, TokenUri, open_token
from hsm.errors import TokenNotFound
from keystore.ceremony import files, outputs, pins, recovery
from keystore.ceremony.errors import ContentWrong, InventoryUnexpected, OutputExists
from keystore.ceremony.kinds import KeySpec
from keystore.ceremony.opinions import second_opinion
from keystore.ceremony.recording import record_key
from keystore.ceremony.room import OpenIssuer, Room
from keystore.ceremony.signing import sign
from keystore.ceremony.steps import Action, Step
from keystore.ceremony.words import file_digest
from keystore.errors import CertificateRejected
from keystore.generations import purpose_and_number
from keystore.keyring import generate
from keystore.pem import read_certificate
from keystore.policies import MEDICAL_AUTHORITY, POLICIES, rotatable_purpose


def act(step: Step, room: Room) -> None:
    """Do what a step does. Raises CeremonyError, HsmError, OSError."""
    _ACTIONS[step.action](step, room)


def _nothing(step: Step, room: Room) -> None:
    """The people do it."""


def _show_file(_step: Step, room: Room) -> None:
    room.desk.say(f"{room.plan.title}: {room.plan.kind.purpose}")
    room.show_digest("the ceremony's file", room.plan.digest)


def _open_token(_step: Step, room: Room) -> None:
    token = open_checked(room.plan.token, pins.provider(room))
    room.tokens["token"] = token
    facts = _facts(token, room.plan.token)
    for name, value in facts.items():
        room.desk.say(f"{name}: {value}")
    room.transcript.add("token", room.plan.roles.administrator, **facts)


def open_checked(uri: TokenUri, provider: PinProvider) -> Token:
    """Open a token, and hold its serial number against the file's. Raises TokenNotFound and what `open_token` raises."""
    token = open_token(uri, provider)
    if token.serial != uri.serial:
        token.close()
        raise TokenNotFound(f"The token's serial number is {token.serial}, not {uri.serial}.")
    return token


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
    token = open_checked(issuer.token, room.desk.pin("issuer", "PIN of the medical authority's token"))
    room.tokens["issuer"] = token
    certificate = read_certificate(issuer.certificate.read_bytes())
    der = certificate.public_bytes(Encoding.DER)
    if certificate.public_key() != token.ed25519(issuer.key, POLICIES[MEDICAL_AUTHORITY]).public_key():
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
    if room.state.before is None:
        found = labels_in(room.token)
        _require_expected(room, found)
        room.state.before = sorted(found)
        room.state.save()
    room.desk.say(f"The token holds: {', '.join(room.state.before) or 'nothing'}")
    room.transcript.add("inventory", room.plan.roles.administrator, labels=room.state.before)


def _require_expected(room: Room, found: set[str]) -> None:
    there = sorted(room.plan.new_labels & found)
    if there:
        raise InventoryUnexpected(f"the token holds {', '.join(there)} already; keys are never replaced in place")
    missing = sorted(set(room.plan.needed_keys) - found)
    if missing:
        raise InventoryUnexpected(f"the token does not hold {', '.join(missing)}")
    newer = sorted(label for label in found for old in room.plan.followed if _is_newer(label, old))
    if newer:
        raise InventoryUnexpected(f"the token holds {', '.join(newer)} already: the newest generation is followed")


def _is_newer(label: str, old: str) -> bool:
    """Say whether both are generations of one purpose, and the first the later."""
    if rotatable_purpose(label) is None or rotatable_purpose(label) != rotatable_purpose(old):
        return False
    return purpose_and_number(label)[1] > purpose_and_number(old)[1]


def labels_in(token: Token) -> set[str]:
    """Give the labels of all stored objects of a token."""
    return {info.label for info in token.objects() if info.stored}


def _split_pin(_step: Step, room: Room) -> None:
    pins.split(room)


def _make_key(step: Step, room: Room) -> None:
    spec = next(spec for spec in room.plan.new_keys if spec.label == step.subject)
    if spec.label not in room.state.made:
        _generate(spec, room)
    record_key(spec, room)


def _generate(spec: KeySpec, room: Room) -> None:
    """Make a key; one that was half-made when the ceremony was interrupted is destroyed first."""
    if room.state.making == spec.label and room.token.has(spec.label):
        room.token.destroy(spec.label)
        room.transcript.add("destroyed", room.plan.roles.administrator, label=spec.label, why="half-made")
    room.state.making = spec.label
    room.state.save()
    generate(room.token, spec.label, spec.policy)
    room.state.made.append(spec.label)
    room.state.making = None
    room.state.save()


def _make_from_seed(_step: Step, room: Room) -> None:
    recovery.make(room)


def _restore_keys(_step: Step, room: Room) -> None:
    recovery.restore(room)


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
        files.write_new(path, content)
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
    room.transcript.add("destroyed", room.plan.roles.administrator, label=step.subject, why="as the file says")
    room.desk.say(f"destroyed: {step.subject}")


def _final_inventory(_step: Step, room: Room) -> None:
    expected = (set(room.state.before or ()) | room.plan.new_labels) - set(room.plan.keys.destroy)
    found = labels_in(room.token)
    if found != expected:
        raise InventoryUnexpected(
            f"the token holds other objects than it should: {', '.join(sorted(found ^ expected))}"
        )
    room.desk.say(f"The token holds: {', '.join(sorted(found)) or 'nothing'}")
    room.transcript.add("inventory", room.plan.roles.administrator, labels=sorted(found))


def _sign(_step: Step, room: Room) -> None:
    sign(room, open_checked)


_ACTIONS: Final[Mapping[Action, Callable[[Step, Room], None]]] = {
    "nothing": _nothing,
    "show-file": _show_file,
    "open-token": _open_token,
    "open-issuer": _open_issuer,
    "inventory": _inventory,
    "split-pin": _split_pin,
    "make-key": _make_key,
    "make-from-seed": _make_from_seed,
    "restore-keys": _restore_keys,
    "write-output": _write_output,
    "destroy-key": _destroy_key,
    "final-inventory": _final_inventory,
    "sign": _sign,
}
