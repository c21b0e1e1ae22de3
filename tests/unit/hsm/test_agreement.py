"""What a faulty token could give in an agreement is withheld, and named."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, PKCS11Error, exceptions

from hsm import Way, errors
from hsm.agreement import _kdf, _require_kept, derive_x, prf, require_same, software_prf
from hsm.quirks import STANDARD, point_of
from hsm.raw import RawKey
from hsm.sessions import Session

MINE, THEIRS = (ec.derive_private_key(number, ec.SECP256R1()) for number in (4711, 815))
X = MINE.exchange(ec.ECDH(), THEIRS.public_key())
POINT = point_of(THEIRS.public_key())


KEY = cast("RawKey", SimpleNamespace(handle=1))
DERIVED = 7


@dataclass
class Faulty:
    """A module whose token derives what it is told to: a secret with any value, or one that it refuses to make or to show."""

    value: bytes | PKCS11Error = b""
    refusal: PKCS11Error | None = None
    said: Mapping[Attribute, bool] = field(default_factory=dict)
    is_destroyed: bool = False

    def derive_by_ecdh(self, *_arguments: object) -> int:
        if self.refusal is not None:
            raise self.refusal
        return DERIVED

    def read(self, _session: int, thing: int, attribute: Attribute, _most: int) -> bytes:
        assert thing == DERIVED
        value = self.value
        if attribute is not Attribute.VALUE:
            value = bytes([self.said[attribute]]) if attribute in self.said else exceptions.AttributeTypeInvalid()
        if isinstance(value, PKCS11Error):
            raise value
        return value

    def destroy(self, _session: int, thing: int) -> None:
        assert thing == DERIVED
        self.is_destroyed = True

    @property
    def session(self) -> Session:
        """The part of a session that a derivation needs beside the key."""
        return cast("Session", SimpleNamespace(quirks=STANDARD, cryptoki=self, raw=SimpleNamespace(handle=1)))


@pytest.mark.parametrize("way", [Way.NULL, Way.KDF])
@pytest.mark.parametrize("value", [b"", bytes(31), b"\x01" * 31, b"\x01" * 33, bytes(32)])
def test_secret_that_is_short_long_or_zero_is_withheld_and_destroyed(way: Way, value: bytes) -> None:
    token = Faulty(value)
    with pytest.raises(errors.TokenFailed, match="withheld"):
        prf(token.session, KEY, way, POINT, b"", b"")
    assert token.is_destroyed


def test_secret_whose_leading_zero_was_cut_is_withheld() -> None:
    peer = ec.derive_private_key(18, ec.SECP256R1()).public_key()
    x = MINE.exchange(ec.ECDH(), peer)
    assert x[0] == 0
    with pytest.raises(errors.TokenFailed, match="withheld"):
        derive_x(Faulty(x.lstrip(b"\0")).session, KEY, point_of(peer))


def test_kdf_over_a_cut_secret_is_found_by_comparing_with_software() -> None:
    """A hash has 32 bytes whatever it is of, so this is tried before the way is taken."""
    peer = ec.derive_private_key(18, ec.SECP256R1())
    x = peer.exchange(ec.ECDH(), MINE.public_key())
    right, cut = (Faulty(_kdf(it, b"a trial")).session for it in (x, x.lstrip(b"\0")))
    require_same(right, KEY, MINE.public_key(), Way.KDF, peer)
    with pytest.raises(errors.TokenFailed, match="another secret"):
        require_same(cut, KEY, MINE.public_key(), Way.KDF, peer)


@pytest.mark.parametrize("refusal", [exceptions.AttributeSensitive(), exceptions.AttributeTypeInvalid()])
def test_secret_that_the_token_does_not_show_is_a_missing_mechanism(refusal: PKCS11Error) -> None:
    token = Faulty(refusal)
    with pytest.raises(errors.MechanismMissing):
        derive_x(token.session, KEY, POINT)
    assert token.is_destroyed


@pytest.mark.parametrize("refusal", [exceptions.TemplateInconsistent(), exceptions.AttributeValueInvalid()])
def test_secret_that_the_token_does_not_derive_is_a_missing_mechanism(refusal: PKCS11Error) -> None:
    with pytest.raises(errors.MechanismMissing):
        derive_x(Faulty(refusal=refusal).session, KEY, POINT)


@pytest.mark.parametrize("way", [Way.NULL, Way.KDF])
def test_right_secret_gives_the_value_in_every_way(way: Way) -> None:
    token = Faulty(X if way is Way.NULL else _kdf(X, b"info"))
    assert prf(token.session, KEY, way, POINT, b"info", b"message") == software_prf(X, b"info", b"message")
    assert token.is_destroyed


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}, None),
        ({Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: False}, errors.TokenFailed),
        ({Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True}, errors.TokenFailed),
        ({}, errors.MechanismMissing),
    ],
)
def test_way_that_leaves_the_secret_readable_is_not_the_one_that_keeps_it(
    said: Mapping[Attribute, bool], fault: type[errors.HsmError] | None
) -> None:
    """Some tokens take SENSITIVE in the template of a derived secret and show its value all the same."""
    token = Faulty(said=said)
    with nullcontext() if fault is None else pytest.raises(fault):
        _require_kept(token.session, KEY)
    assert token.is_destroyed


def test_kdf_is_that_of_ansi_x9_63() -> None:
    """NIST CAVP, ANSX963 with SHA-256: shared secret of 192 bits, no SharedInfo, 128 bits of key."""
    shared = bytes.fromhex("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08")
    assert _kdf(shared, b"")[:16].hex() == "443024c3dae66b95e6f5670601558f71"


def test_ways_stand_in_the_order_of_their_strength() -> None:
    assert list(Way) == [Way.KDF_AND_HMAC, Way.KDF, Way.NULL]
