"""A step of a run, as a vector: everything that another implementation needs to check its own work."""

from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.protocol.parsing import payload_rule
from federation.protocol.sealing import Context
from keystore.encryption import DecryptionKey
from tests.vectors import spec
from tests.vectors.draws import Json
from tests.vectors.signed import SIGNED
from tests.vectors.world import Step


def describe(step: Step, now: int) -> Json:
    """Give the vector of a step, with the ciphertext that it holds."""
    plaintext = plaintext_of(step)
    vector: Json = {"name": step.name, "expect": "success", "now": now}
    vector["message_type"] = step.message.DESCRIPTOR.full_name
    vector["message"] = step.message.SerializeToString(deterministic=True).hex()
    if step.sealed or step.framed:
        vector |= _sealed(step.sealed[1]) if step.sealed else _framed(step)
    vector["payload_type"] = step.payload_type.DESCRIPTOR.full_name if step.payload_type else "slice"
    vector["plaintext"] = plaintext.hex()
    if step.payload_type and step.label in SIGNED:
        vector["signed"] = _signed(step, plaintext)
    return vector


def info_of(context: Context) -> bytes:
    """HPKE's info, by the specification."""
    names = context.name, context.sender, context.receiver
    return spec.hpke_info(*names, context.key_id, context.session_id, context.sent_at)


def plaintext_of(step: Step) -> bytes:
    """Open a step's message with the receiver's keys: the message without padding, or a slice with what pads it."""
    if step.sealed:
        key, context = step.sealed
        return unpadded(padded_plaintext(key, context, step.message.sealed))
    if step.framed is None:
        return bytes(step.message.SerializeToString(deterministic=True))
    nonce, associated_data = _frame_context(step)
    opened = AESGCM(step.framed[1].key).decrypt(nonce, step.message.sealed, associated_data)
    return unpadded(opened) if step.message.last else opened


def payload_of(step: Step) -> Any:
    """Open a step's message, and read what it holds."""
    assert step.payload_type is not None
    return step.payload_type.FromString(plaintext_of(step))


def padded_plaintext(key: DecryptionKey, context: Context, sealed: bytes) -> bytes:
    """Open a seal under the info of the specification."""
    return key.open(sealed, info_of(context))


def unpadded(padded: bytes) -> bytes:
    """Take the message out of F(message) || zeros."""
    return padded[4 : 4 + int.from_bytes(padded[:4], "big")]


def padded(step: Step, plaintext: bytes) -> bytes:
    """F(message) || zeros under HPKE, by the specification."""
    assert step.payload_type is not None
    framed = spec.field(plaintext)
    size = payload_rule(step.payload_type.DESCRIPTOR).padded_size or -(-len(framed) // 256) * 256
    return framed + bytes(size - len(framed))


def _sealed(context: Context) -> Json:
    return {
        "seal": {
            "name": context.name,
            "sender": context.sender,
            "receiver": context.receiver,
            "key_id": context.key_id.hex(),
            "session_id": context.session_id.hex(),
            "sent_at": context.sent_at,
            "info": info_of(context).hex(),
        }
    }


def _framed(step: Step) -> Json:
    assert step.framed is not None
    name, keys = step.framed
    nonce, associated_data = _frame_context(step)
    frame = {"name": name, "key": keys.key.hex(), "iv": keys.iv.hex()}
    return {"frame": frame | {"nonce": nonce.hex(), "associated_data": associated_data.hex()}}


def _frame_context(step: Step) -> tuple[bytes, bytes]:
    assert step.framed is not None
    name, keys = step.framed
    frame = step.message
    associated_data = spec.frame_associated_data(name, frame.session_id, frame.sequence, frame.sent_at, last=frame.last)
    return spec.frame_nonce(keys.iv, frame.sequence), associated_data


def sign_again(step: Step, payload: Any) -> None:
    """Put the signature that belongs to a payload's present fields into it."""
    payload.signature = step.signing_key.sign(SIGNED[step.label](payload, step.facts).encoded)


def _signed(step: Step, plaintext: bytes) -> Json:
    assert step.payload_type is not None
    payload: Any = step.payload_type.FromString(plaintext)
    transcript = SIGNED[step.label](payload, step.facts)
    return {
        "label": transcript.label,
        "fields": [field.hex() for field in transcript.fields],
        "transcript": transcript.encoded.hex(),
        "verifying_key": step.signing_key.verifying_key.data.hex(),
        "signature": step.signing_key.sign(transcript.encoded).hex(),
    }
