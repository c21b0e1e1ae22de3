"""Signing, sealing and authenticating in the token, each in the one call that does it.

python-pkcs11 asks the token for the size of each result first, and believes the answer. That is a round trip more to a
network HSM, and NSS answers wrongly: 132 bytes for an Ed25519 signature, which it then refuses to write into anything
but 64, and no room for GCM's tag. We know the sizes.
"""

import ctypes
from typing import Final

from pkcs11 import Mechanism

from hsm.cryptoki import Function, MechanismStructure
from hsm.raw import RawKey
from hsm.sessions import Session

SIGNATURE_SIZE_BYTES: Final = 64  # RFC 8032, section 5.1.6
MAC_SIZE_BYTES: Final = 32  # HMAC-SHA256
TAG_SIZE_BYTES: Final = 16
_SIGN: Final = (Function.C_SignInit, Function.C_Sign)
_ENCRYPT: Final = (Function.C_EncryptInit, Function.C_Encrypt)
_DECRYPT: Final = (Function.C_DecryptInit, Function.C_Decrypt)


class _GcmParameters(ctypes.Structure):
    """CK_GCM_PARAMS, as in PKCS#11's header file."""

    _fields_ = (
        ("nonce", ctypes.c_char_p),
        ("nonce_size_bytes", ctypes.c_ulong),
        ("nonce_size_bits", ctypes.c_ulong),
        ("associated_data", ctypes.c_char_p),
        ("associated_data_size_bytes", ctypes.c_ulong),
        ("tag_size_bits", ctypes.c_ulong),
    )


def sign_ed25519(session: Session, key: RawKey, message: bytes) -> bytes:
    """Sign by CKM_EDDSA without parameters, which is pure Ed25519."""
    mechanism = MechanismStructure(Mechanism.EDDSA)
    return session.cryptoki.operate(_SIGN, session.raw.handle, key.handle, mechanism, message, SIGNATURE_SIZE_BYTES)


def hmac_sha256(session: Session, key: RawKey, message: bytes) -> bytes:
    """Authenticate by CKM_SHA256_HMAC."""
    mechanism = MechanismStructure(Mechanism.SHA256_HMAC)
    return session.cryptoki.operate(_SIGN, session.raw.handle, key.handle, mechanism, message, MAC_SIZE_BYTES)


def encrypt_gcm(session: Session, key: RawKey, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """Return ciphertext and tag."""
    parameters = _gcm(nonce, associated_data)
    size_bytes = len(plaintext) + TAG_SIZE_BYTES
    return session.cryptoki.operate(_ENCRYPT, session.raw.handle, key.handle, _with(parameters), plaintext, size_bytes)


def decrypt_gcm(session: Session, key: RawKey, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    """Return the plaintext; raises one of `Quirks.tag_failures` unless the tag is right."""
    parameters = _gcm(nonce, associated_data)
    # SoftHSM wants room for the tag too.
    return session.cryptoki.operate(_DECRYPT, session.raw.handle, key.handle, _with(parameters), sealed, len(sealed))


def _gcm(nonce: bytes, associated_data: bytes) -> _GcmParameters:
    # Some tokens take a pointer to nothing amiss.
    return _GcmParameters(
        nonce, len(nonce), len(nonce) * 8, associated_data or None, len(associated_data), TAG_SIZE_BYTES * 8
    )


def _with(parameters: _GcmParameters) -> MechanismStructure:
    """Point to parameters, which the caller keeps alive."""
    return MechanismStructure(Mechanism.AES_GCM, ctypes.addressof(parameters), ctypes.sizeof(parameters))
