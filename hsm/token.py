"""A token: what its officer does (initialise it, change its PINs), and opened: its keys by label, its random numbers."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pkcs11
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from pkcs11 import Attribute, ObjectClass

from hsm import creation, errors, module
from hsm.errors import translate_errors
from hsm.keys import AeadKey, MacKey, TokenEd25519Key, TokenX25519Key
from hsm.locks import key_creation_lock, login_lock
from hsm.login import Login, close, refuse_risky_login
from hsm.metrics import TokenMetrics
from hsm.pin import Pin, PinProvider
from hsm.policy import AGREEMENT, MAC, SEALING, SIGNING, KeyPolicy, ObjectInfo, describe
from hsm.quirks import point_of, quirks_of
from hsm.raw import RawToken
from hsm.selftest import Trial, try_all
from hsm.sessions import Session, Sessions
from hsm.uri import MAX_TOKEN_LABEL_BYTES, TokenUri, checked_label


def initialise_token(
    module_path: Path, label: str, *, pin: Pin, so_pin: Pin, serial: str | None = None, erase: bool = False
) -> TokenUri:
    """Initialise a blank token (C_InitToken, C_InitPIN) and give its URI.

    Without a serial number it is the module's first blank token. A token that was initialised before is made anew only
    with `erase`, under its own security officer's PIN: everything on it is gone then. Raises `TokenNotFound`,
    `TokenExists`, `LabelInvalid`, `PinUnacceptable`, `PinIncorrect`, `PinLocked`.
    """
    checked_label(label, max_bytes=MAX_TOKEN_LABEL_BYTES)
    loaded = module.load(module_path)
    with login_lock(), loaded.call(), translate_errors("initialise the token"):
        token = loaded.blank_token() if serial is None else _of_serial(loaded, serial)
        _require_erasable(loaded, token, label, erase=erase)
        # Before anything is erased: a token without its user's PIN would be left.
        _require_lengths(loaded, token, so_pin, pin)
        loaded.cryptoki.init_token(token.slot.slot_id, so_pin.reveal(), label)
        made = token.slot.get_token()
        set_first_pin(loaded, made, pin, so_pin)
    return TokenUri(module_path=module_path, token=label, serial=module.serial_of(made) or None)


def set_first_pin(loaded: module.Module, token: RawToken, pin: Pin, so_pin: Pin) -> None:
    """Set the user's PIN of a token that was just initialised, inside `Module.call`."""
    session = token.open(rw=True)
    try:
        loaded.cryptoki.login(session.handle, pkcs11.UserType.SO, so_pin.reveal())
        loaded.cryptoki.init_pin(session.handle, pin.reveal())
    finally:
        with suppress(pkcs11.PKCS11Error):  # its last session ends the login too (PKCS #11 v3.0, section 5.6.2)
            loaded.cryptoki.logout(session.handle)
        close(session)


def change_user_pin(uri: TokenUri, *, old: Pin, new: Pin) -> None:
    """Change the user's PIN of a token that this process has not opened, with one attempt.

    Raises `TokenNotFound`, `AmbiguousToken`, `PinUnacceptable`, `PinIncorrect`, `PinLocked`, `PinFinalTry`.
    """
    loaded = module.load(uri.module_path)
    with login_lock(), loaded.call(), translate_errors("change the PIN"):
        token = loaded.find(uri)
        refuse_risky_login(token.flags, token.label)
        _require_lengths(loaded, token, new)
        session = token.open(rw=True)
        try:
            loaded.cryptoki.set_pin(session.handle, old.reveal(), new.reveal())
        finally:
            close(session)


def _of_serial(loaded: module.Module, serial: str) -> RawToken:
    matching = [token for token in loaded.in_slots() if module.serial_of(token) == serial]
    if len(matching) != 1:
        raise errors.TokenNotFound(f"The module has {len(matching)} tokens of serial number {serial}.")
    return matching[0]


def _require_erasable(loaded: module.Module, token: RawToken, label: str, *, erase: bool) -> None:
    if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
        if not erase:
            raise errors.TokenExists(f"The token {token.label!r} is initialised already; erasing has to be asked for.")
        if token.flags & pkcs11.TokenFlag.SO_PIN_LOCKED:
            raise errors.PinLocked(f"The security officer's PIN of the token {token.label!r} is locked.")
    others = (other for other in loaded.tokens() if other.slot.slot_id != token.slot.slot_id)
    if any(other.label == label for other in others):
        raise errors.TokenExists(f"A token {label!r} exists already.")


def _require_lengths(loaded: module.Module, token: RawToken, *pins: Pin) -> None:
    fewest, most = loaded.cryptoki.pin_lengths(token.slot.slot_id)
    for pin in pins:
        size_bytes = len(pin.reveal().encode())
        if size_bytes < fewest or (most is not None and size_bytes > most):
            raise errors.PinUnacceptable(f"The token takes PINs of {fewest} to {most or 'any number of'} bytes.")


_DEFAULT_WAIT: Final = timedelta(seconds=5)


class Token:
    """One token that this process is logged in to; safe to share between threads, useless after a fork.

    Every method raises `hsm.errors.HsmError`: `TokenBusy` and `TokenUnavailable` may pass, `TokenClosed` after `close`.
    Opening a key raises `KeyNotFound`, `KeyAmbiguous`, or `KeyPolicyViolation` if the key could do more than it should.
    """

    def __init__(self, sessions: Sessions, token: RawToken) -> None:
        """Take over the sessions of a login to the token; use `open_token`."""
        self._sessions = sessions
        self.label = token.label
        self.serial = module.serial_of(token)
        self.manufacturer = token.manufacturer_id
        self.model = token.model
        self.firmware = ".".join(map(str, token.firmware_version))

    def random(self, size_bytes: int) -> bytes:
        """Return bytes from the token's random number generator; raises ValueError for less than one."""
        if size_bytes < 1:
            raise ValueError("Ask for one random byte at least.")
        return self._sessions.run(
            lambda session: session.random(size_bytes), doing="draw random bytes", mechanism="RANDOM"
        )

    def health(self) -> bool:
        """Return whether the token is there, logged in, answering, and still holds the first key that was opened.

        Looks for the token again if it was lost; raises nothing. A token that is only busy is healthy. May take as long as
        the wait for a session.
        """
        return self._sessions.probe()

    def metrics(self) -> TokenMetrics:
        """Return what this process did with the token so far."""
        return self._sessions.metrics()

    def generate_ed25519(self, label: str, policy: KeyPolicy = SIGNING) -> TokenEd25519Key:
        """Generate a signing key; raises `KeyExists`."""
        self._create(lambda session, name: creation.generate_pair(session, name, policy, session.quirks.ed25519), label)
        return self.ed25519(label, policy)

    def generate_x25519(self, label: str, policy: KeyPolicy = AGREEMENT) -> TokenX25519Key:
        """Generate an agreement key; raises `KeyExists`."""
        self._create(lambda session, name: creation.generate_pair(session, name, policy, session.quirks.x25519), label)
        return self.x25519(label, policy)

    def generate_aes(self, label: str, policy: KeyPolicy = SEALING) -> AeadKey:
        """Generate an AES-256 key for sealing; raises `KeyExists`."""
        self._create(lambda session, name: creation.generate_secret(session, name, policy), label)
        return self.aead(label, policy)

    def generate_mac(self, label: str, policy: KeyPolicy = MAC) -> MacKey:
        """Generate an HMAC-SHA256 key; raises `KeyExists`."""
        self._create(lambda session, name: creation.generate_secret(session, name, policy), label)
        return self.mac(label, policy)

    def import_x25519(
        self, label: str, secret: bytearray, public: bytes, policy: KeyPolicy = AGREEMENT
    ) -> TokenX25519Key:
        """Store an agreement key made elsewhere; raises `KeyExists`, or `KeyInvalid` if the halves don't match.

        `secret` is read in place by the token and is the caller's to wipe.
        """
        self._create(lambda session, name: creation.import_x25519(session, name, secret, public, policy), label)
        return self.x25519(label, policy)

    def import_key(self, label: str, policy: KeyPolicy, value: bytearray) -> None:
        """Store a key made elsewhere: an Ed25519 seed, an AES-256 or an HMAC key; raises `KeyExists`, `KeyInvalid`.

        The token reads `value` where it lies; it is the caller's to wipe. The key says of itself that it isn't LOCAL.
        """
        self._create(lambda session, name: creation.import_key(session, name, policy, value), label)

    def ed25519(self, label: str, policy: KeyPolicy = SIGNING) -> TokenEd25519Key:
        """Open a signing key."""

        def public_half(session: Session) -> bytes:
            session.key(label, policy)
            return _public_point(session, label)

        public = self._sessions.run(public_half, doing=f"open the key {label!r}")
        self._sessions.watch(label, policy)
        return TokenEd25519Key(self._sessions, label, policy, Ed25519PublicKey.from_public_bytes(public))

    def x25519(self, label: str, policy: KeyPolicy = AGREEMENT) -> TokenX25519Key:
        """Open an agreement key; raises `KeyInvalid` if its public half in the token is another key's."""

        def public_half(session: Session) -> bytes:
            public = _public_point(session, label)
            creation.verify_x25519_halves(session, session.key(label, policy), public)
            return public

        public = self._sessions.run(public_half, doing=f"open the key {label!r}")
        self._sessions.watch(label, policy)
        return TokenX25519Key(self._sessions, label, policy, X25519PublicKey.from_public_bytes(public))

    def aead(self, label: str, policy: KeyPolicy = SEALING) -> AeadKey:
        """Open a sealing key."""
        self._sessions.run(lambda session: session.key(label, policy), doing=f"open the key {label!r}")
        self._sessions.watch(label, policy)
        return AeadKey(self._sessions, label, policy)

    def mac(self, label: str, policy: KeyPolicy = MAC) -> MacKey:
        """Open an HMAC key."""
        self._sessions.run(lambda session: session.key(label, policy), doing=f"open the key {label!r}")
        self._sessions.watch(label, policy)
        return MacKey(self._sessions, label, policy)

    def has(self, label: str) -> bool:
        """Return whether the token holds anything of this label."""
        return bool(
            self._sessions.run(lambda session: session.search({Attribute.LABEL: label}), doing="look for a key")
        )

    def destroy(self, label: str) -> None:
        """Destroy every object of this label; raises `KeyNotFound` if there is none."""
        self._sessions.run(lambda session: creation.destroy(session, label), doing="destroy a key", writable=True)
        self._sessions.forget(label)

    def objects(self) -> list[ObjectInfo]:
        """Describe every object that the token holds."""
        return self._sessions.run(
            lambda session: [describe(thing, session.quirks) for thing in session.search({})],
            doing="list the token's objects",
        )

    def trials(self) -> list[Trial]:
        """Try what the token can do, on throw-away session keys: nothing of it stays. Raises if the token goes away."""
        return try_all(self._sessions)

    def change_pin(self, old: Pin, new: Pin) -> None:
        """Return the user another PIN; raises `PinIncorrect` if `old` is wrong, or `new` of a length that the token refuses.

        One attempt. A later login asks the provider that opened the token: it has to know the new PIN by then.
        """
        self._sessions.run(
            lambda session: session.cryptoki.set_pin(session.raw.handle, old.reveal(), new.reveal()),
            doing="change the PIN",
            writable=True,
        )

    def close(self) -> None:
        """Log out and give all sessions back; a second call does nothing."""
        self._sessions.close()

    def __enter__(self) -> Self:
        """Return the token itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Show label and serial number."""
        return f"<Token {self.label!r} serial {self.serial}>"

    def _create(self, make: Callable[[Session, str], None], label: str) -> None:
        name = checked_label(label)
        with key_creation_lock():
            self._sessions.run(lambda session: make(session, name), doing=f"make the key {name!r}", writable=True)


def open_token(
    uri: TokenUri, pin_provider: PinProvider, *, sessions: int = 4, wait: timedelta = _DEFAULT_WAIT
) -> Token:
    """Find the token, ask for its PIN and log in, once.

    At most `sessions` calls work at a time; a further one waits at most `wait`, then raises `TokenBusy`. Raises
    `ModuleNotFound`, `ModuleUnusable`, `TokenNotFound`, `AmbiguousToken`, `TokenInUse`, `PinIncorrect`, `PinLocked`,
    `PinFinalTry`, `PinUnavailable`.
    """
    loaded = module.load(uri.module_path)
    login = Login(loaded, uri, pin_provider)
    quirks = quirks_of(login.token.manufacturer_id, login.token.model)
    return Token(Sessions(loaded, login, quirks, size=sessions, wait=wait), login.token)


def _public_point(session: Session, label: str) -> bytes:
    return point_of(session.one(ObjectClass.PUBLIC_KEY, label)[Attribute.EC_POINT])
