"""The token that the contract suite runs on, and what it can do.

`MEDUNION_TOKEN_UNDER_TEST=package.module:Class` names another subclass of `TokenUnderTest` than SoftHSM's. For a token
that is there already and may be emptied, `tests.contract.token_backends:ExistingToken` takes its URI (RFC 7512, with
`pin-source`) from `MEDUNION_TOKEN_URI` and its capabilities, names separated by commas, from `MEDUNION_TOKEN_CAN`.

A test says what it needs by `@needs(Capability.X)`. What the token lacks is not collected, and listed at the run's end.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hsm import Pin, Token, TokenUri, Way, open_token, pin_from_file, pin_from_value
from hsm.softhsm import SoftHsm

ENVIRONMENT = "MEDUNION_TOKEN_UNDER_TEST"
_USER_PIN = "user-pin-4711"
_SO_PIN = "officer-pin-0815"
_DEFAULT = "tests.contract.token_backends:SoftHsmToken"


class Capability(Enum):
    """What a token may be able to do, in the words of the matrix that a run prints."""

    ECDSA = "makes P-256 keys and signs with them"
    ECDH = "makes P-256 keys and agrees with them"
    IMPORT = "stores a P-256 key made elsewhere"
    UNWRAP = "stores such a key that comes wrapped, with the attributes that it was told"
    READABLE = "lets the shared x-coordinate out"
    KDF_AND_HMAC = "agrees with nothing leaving it but the agreed value"
    HMAC = "makes HMAC-SHA256 keys"
    HMAC_IMPORT = "stores an HMAC key made elsewhere"
    UNWRAP_HMAC = "stores such a key that comes wrapped, and knows its size"
    PROVENANCE = "says which keys it made itself"
    MANY_TOKENS = "has as many tokens as a test asks for"
    INITIALIZE = "is initialised by C_InitToken and C_InitPIN"
    REMOVAL = "can be taken away and put back by a program"
    THREADS = "serves several threads at once"
    PROCESSES = "serves several processes at once"


needs = pytest.mark.needs
"""Select a test, or a `pytest.param`, for tokens with all of these capabilities."""


class TokenUnderTest(ABC):
    """One kind of token: how to get one without objects, and what the suite may ask of it."""

    name: str
    can: frozenset[Capability]
    user_pin = _USER_PIN
    so_pin = _SO_PIN
    wrong_pin = "wrong-pin-9999"
    wrong_pin_tries = 20
    """How many wrong PINs the suite may present before the token locks."""
    manufacturer: str | None = None
    model: str | None = None
    ways: tuple[Way, ...] | None = None
    """The ways of agreement that the token has, the strongest first; None where that isn't known beforehand."""

    @abstractmethod
    def start(self, request: pytest.FixtureRequest) -> None:
        """Prepare the module's environment, once per process, before it is loaded."""

    @abstractmethod
    def make(self, label_prefix: str) -> TokenUri:
        """Give a token without objects, not opened; a new one each time if it has MANY_TOKENS."""

    def remove(self, uri: TokenUri) -> Callable[[], None]:
        """Take the token away; the function given puts it back. For tokens with REMOVAL."""
        raise NotImplementedError

    def ways_to_use(self, token: Token) -> list[Callable[[], object]]:
        """Give one use of the token for each thing that it can do, on keys made now; each raises unless it succeeds."""
        uses: list[Callable[[], object]] = [lambda: token.random(8), token.objects]
        if Capability.ECDSA in self.can:
            signing = token.generate_signing("used-signing")
            uses.append(lambda: signing.sign(b"message", ec.ECDSA(hashes.SHA256())))  # verified inside
        if Capability.ECDH in self.can:
            agreement = token.generate_agreement("used-agreement")
            uses.append(lambda: agreement.prf(agreement.public_key(), b"info", b"message"))
        if Capability.HMAC in self.can:
            index = token.generate_mac("used-index")
            code = index.mac(b"patient")
            uses.append(lambda: index.mac(b"patient") == code or pytest.fail("another code"))
            uses.append(lambda: token.has("used-index") or pytest.fail("key not seen"))
            uses.append(lambda: (token.generate_mac("used-new"), token.destroy("used-new")))
        return uses


class SoftHsmToken(TokenUnderTest):
    """SoftHSM 2, each token in a directory of its own."""

    name = "softhsm"
    can = frozenset(Capability) - {Capability.KDF_AND_HMAC, Capability.UNWRAP_HMAC}
    manufacturer, model = "SoftHSM project", "SoftHSM v2"
    ways = (Way.NULL,)

    def __init__(self) -> None:
        self._numbers = count(1)

    def start(self, request: pytest.FixtureRequest) -> None:
        self._softhsm: SoftHsm = request.getfixturevalue("softhsm")
        self._directories: dict[str | None, Path] = {}

    def make(self, label_prefix: str) -> TokenUri:
        store = self._softhsm.configuration.parent / "tokens"
        before = set(store.iterdir())
        label = f"{label_prefix}-c{next(self._numbers)}"
        uri = self._softhsm.create_token(label, pin=Pin(self.user_pin), so_pin=Pin(self.so_pin))
        (self._directories[uri.serial],) = set(store.iterdir()) - before
        return uri

    def remove(self, uri: TokenUri) -> Callable[[], None]:
        directory = self._directories[uri.serial]
        elsewhere = directory.parent.parent / f"taken-{directory.name}"
        directory.rename(elsewhere)
        return lambda: (elsewhere.rename(directory), None)[1]


class ExistingToken(TokenUnderTest):
    """One token that is there already and is emptied before each test."""

    name = "existing"
    wrong_pin_tries = 0

    def __init__(self) -> None:
        self.can = frozenset(Capability[name] for name in os.environ["MEDUNION_TOKEN_CAN"].split(",") if name)
        self._uri = TokenUri.parse(os.environ["MEDUNION_TOKEN_URI"])
        if self._uri.pin_source is None:
            raise ValueError("MEDUNION_TOKEN_URI has to name the PIN's file: &pin-source=file:/...")
        self.user_pin = pin_from_file(self._uri.pin_source)().reveal()

    def start(self, request: pytest.FixtureRequest) -> None:
        pass

    def make(self, label_prefix: str) -> TokenUri:
        empty(self._uri, self.user_pin)
        return self._uri


def empty(uri: TokenUri, pin: str) -> None:
    """Destroy every key that the token holds."""
    with open_token(uri, pin_from_value(pin)) as token:
        for label in {info.label for info in token.objects() if info.label}:
            token.destroy(label)


def chosen() -> TokenUnderTest:
    """Give the token under test that the environment names."""
    module, _, attribute = os.environ.get(ENVIRONMENT, _DEFAULT).partition(":")
    kind: type[TokenUnderTest] = getattr(import_module(module), attribute)
    return kind()
