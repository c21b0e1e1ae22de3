"""What a faulty token could give in an agreement is withheld, and named."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, Mechanism, PKCS11Error, exceptions

from hsm import Way, errors
from hsm.agreement import _kdf, _require_kept, derive_x, prf, require_same, software_prf
from hsm.quirks import STANDARD, point_of
from hsm.raw import RawKey
from hsm.sessions import Session

MINE, THEIRS = (ec.derive_private_key(number, ec.SECP256R1()) for number in (4711, 815))
X = MINE.exchange(ec.ECDH(), THEIRS.public_key())
POINT = point_of(THEIRS.public_key())


class Derived:
    """A derived secret with any value, or one that the token refuses to show."""

    def __init__(self, value: bytes | PKCS11Error) -> None:
        self.value, self.handle, self.is_destroyed = value, 7, False
        self.attributes: Mapping[Attribute, bool] = {}

    def __getitem__(self, attribute: Attribute) -> bytes:
        if isinstance(self.value, PKCS11Error):
            raise self.value
        return self.value

    def get_attributes(self, _names: object) -> Mapping[Attribute, bool]:
        return self.attributes

    def destroy(self) -> None:
        self.is_destroyed = True


class FaultyKey:
    """A private key that derives what it is told to."""

    handle = 1

    def __init__(self, derived: Derived | PKCS11Error) -> None:
        self.derived = derived
        self.asked: list[tuple[Mechanism, Mapping[Attribute, Any]]] = []

    def derive_key(
        self, *_args: object, mechanism: Mechanism, template: Mapping[Attribute, Any], **_: object
    ) -> Derived:
        self.asked.append((mechanism, template))
        if isinstance(self.derived, PKCS11Error):
            raise self.derived
        return self.derived


def faulty(value: bytes | PKCS11Error) -> tuple[RawKey, Derived]:
    derived = Derived(value)
    return cast("RawKey", FaultyKey(derived)), derived


class OnlyQuirks:
    """The part of a session that a derivation needs beside the key."""

    quirks = STANDARD


SESSION = cast("Session", OnlyQuirks())


@pytest.mark.parametrize("way", [Way.NULL, Way.KDF])
@pytest.mark.parametrize("value", [b"", bytes(31), b"\x01" * 31, b"\x01" * 33, bytes(32)])
def test_secret_that_is_short_long_or_zero_is_withheld_and_destroyed(way: Way, value: bytes) -> None:
    key, derived = faulty(value)
    with pytest.raises(errors.TokenFailed, match="withheld"):
        prf(SESSION, key, way, POINT, b"", b"")
    assert derived.is_destroyed


def test_secret_whose_leading_zero_was_cut_is_withheld() -> None:
    peer = ec.derive_private_key(18, ec.SECP256R1()).public_key()
    x = MINE.exchange(ec.ECDH(), peer)
    assert x[0] == 0
    key, _ = faulty(x.lstrip(b"\0"))
    with pytest.raises(errors.TokenFailed, match="withheld"):
        derive_x(SESSION, key, point_of(peer))


def test_kdf_over_a_cut_secret_is_found_by_comparing_with_software() -> None:
    """A hash has 32 bytes whatever it is of, so this is tried before the way is taken."""
    peer = ec.derive_private_key(18, ec.SECP256R1())
    x = peer.exchange(ec.ECDH(), MINE.public_key())
    right, _ = faulty(_kdf(x, b"a trial"))
    require_same(SESSION, right, MINE.public_key(), Way.KDF, peer)
    cut, _ = faulty(_kdf(x.lstrip(b"\0"), b"a trial"))
    with pytest.raises(errors.TokenFailed, match="another secret"):
        require_same(SESSION, cut, MINE.public_key(), Way.KDF, peer)


@pytest.mark.parametrize("refusal", [exceptions.AttributeSensitive(), exceptions.AttributeTypeInvalid()])
def test_secret_that_the_token_does_not_show_is_a_missing_mechanism(refusal: PKCS11Error) -> None:
    key, derived = faulty(refusal)
    with pytest.raises(errors.MechanismMissing):
        derive_x(SESSION, key, POINT)
    assert derived.is_destroyed


@pytest.mark.parametrize("refusal", [exceptions.TemplateInconsistent(), exceptions.AttributeValueInvalid()])
def test_secret_that_the_token_does_not_derive_is_a_missing_mechanism(refusal: PKCS11Error) -> None:
    with pytest.raises(errors.MechanismMissing):
        derive_x(SESSION, cast("RawKey", FaultyKey(refusal)), POINT)


@pytest.mark.parametrize("way", [Way.NULL, Way.KDF])
def test_right_secret_gives_the_value_in_every_way(way: Way) -> None:
    key, derived = faulty(X if way is Way.NULL else _kdf(X, b"info"))
    assert prf(SESSION, key, way, POINT, b"info", b"message") == software_prf(X, b"info", b"message")
    assert derived.is_destroyed


@pytest.mark.parametrize(
    ("attributes", "stays"),
    [
        ({Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}, True),
        ({Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: False}, False),
        ({Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True}, False),
        ({}, False),
    ],
)
def test_way_that_leaves_the_secret_readable_is_not_the_one_that_keeps_it(
    attributes: Mapping[Attribute, bool], stays: bool
) -> None:
    """Some tokens take SENSITIVE in the template of a derived secret and show its value all the same."""
    key, derived = faulty(b"")
    derived.attributes = attributes
    with nullcontext() if stays else pytest.raises(errors.TokenFailed, match="could be read"):
        _require_kept(SESSION, key)
    assert derived.is_destroyed


def test_kdf_is_that_of_ansi_x9_63() -> None:
    """NIST CAVP, ANSX963 with SHA-256: shared secret of 192 bits, no SharedInfo, 128 bits of key."""
    shared = bytes.fromhex("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08")
    assert _kdf(shared, b"")[:16].hex() == "443024c3dae66b95e6f5670601558f71"


def test_ways_stand_in_the_order_of_their_strength() -> None:
    assert list(Way) == [Way.KDF_AND_HMAC, Way.KDF, Way.NULL]
