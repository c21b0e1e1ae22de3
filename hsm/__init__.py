"""PKCS#11 and nothing of medicine: tokens, sessions, and keys that never leave them."""

from hsm import errors, softhsm
from hsm.agreement import Way, software_prf
from hsm.group import Member, TokenGroup, open_group
from hsm.keys import MacKey, TokenAgreementKey, TokenSigningKey
from hsm.metrics import TokenMetrics
from hsm.mlkem import TokenMlKemKey
from hsm.nonces import NonceReport
from hsm.pin import (
    Pin,
    PinProvider,
    pin_from_credential,
    pin_from_fd,
    pin_from_file,
    pin_from_prompt,
    pin_from_value,
)
from hsm.policy import KeyKind, KeyPolicy, ObjectInfo, Provenance
from hsm.selftest import Ability, Trial
from hsm.token import Token, open_token
from hsm.transport import Wrapped
from hsm.uri import TokenUri

__all__ = [
    "Ability",
    "KeyKind",
    "KeyPolicy",
    "MacKey",
    "Member",
    "NonceReport",
    "ObjectInfo",
    "Pin",
    "PinProvider",
    "Provenance",
    "Token",
    "TokenAgreementKey",
    "TokenGroup",
    "TokenMetrics",
    "TokenMlKemKey",
    "TokenSigningKey",
    "TokenUri",
    "Trial",
    "Way",
    "Wrapped",
    "errors",
    "open_group",
    "open_token",
    "pin_from_credential",
    "pin_from_fd",
    "pin_from_file",
    "pin_from_prompt",
    "pin_from_value",
    "softhsm",
    "software_prf",
]
