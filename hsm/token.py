"""A token: what its officer does (initialise it, change its PINs), and opened: its keys by label, its random numbers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self, TypeVar

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, ObjectClass

from hsm import creation, errors, mlkem, module, transport
from hsm.agreement import Way, ways_of, ways_through
from hsm.errors import translate_errors
from hsm.keys import MacKey, TokenAgreementKey, TokenSigningKey
from hsm.locks import key_creation_lock, login_lock
from hsm.login import LOGIN_ATTEMPTS, Login, close, refuse_risky_login
from hsm.metrics import TokenMetrics
from hsm.mlkem import TokenMlKemKey
from hsm.nonces import NonceReport, measure
from hsm.pin import Pin, PinProvider
from hsm.policy import AGREEMENT, MAC, ML_KEM, SIGNING, KeyPolicy, ObjectInfo, describe
from hsm.quirks import public_key_of, quirks_of
from hsm.raw import RawToken
from hsm.selftest import Trial, try_all
from hsm.sessions import Lending, Session, Sessions
from hsm.transport import Wrapped
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


DEFAULT_WAIT: Final = timedelta(seconds=5)
_Made = TypeVar("_Made")


class Token:
    """One token that this process is logged in to; safe to share between threads, useless after a fork.

    Every method raises `hsm.errors.HsmError`: `TokenBusy` and `TokenUnavailable` may pass, `TokenClosed` after `close`.
    Opening a key raises `KeyNotFound`, `KeyAmbiguous`, or `KeyPolicyViolation` if the key could do more than it should.
    """

    makes_keys: ClassVar[bool] = True
    """Whether what it generates is all that there is to a key: not so for one of several tokens that hold the same keys."""

    _sessions: Lending

    def __init__(self, sessions: Sessions, token: RawToken) -> None:
        """Take over the sessions of a login to the token; use `open_token`."""
        self._sessions = self.own_sessions = sessions
        self._has_mlkem: bool | None = None
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

    def metrics_of_each(self) -> Mapping[int, TokenMetrics]:
        """Return the same by token: 1, unless it is a group that was opened (`hsm.group`)."""
        return {1: self.metrics()}

    @property
    def each(self) -> Sequence["Token"]:
        """Return the tokens that it is, each alone: itself, unless it is a group."""
        return [self]

    @property
    def agreement_way(self) -> Way:
        """Return the strongest way of agreeing that the token has, tried at the first question; raises `MechanismMissing`."""
        return self.ways[0]

    @property
    def ways(self) -> tuple[Way, ...]:
        """Return the ways of agreeing that the token has, the strongest first; raises `MechanismMissing` if it has none."""
        return ways_through(self._sessions)

    @property
    def gives_x(self) -> bool:
        """Return whether the token lets the x-coordinate of a shared point out, as `TokenAgreementKey.exchange` needs."""
        return Way.NULL in self.ways

    @property
    def has_mlkem(self) -> bool:
        """Return whether the token keeps ML-KEM-768 keys and decapsulates by them, tried at the first question."""
        if self._has_mlkem is None:
            self._has_mlkem = self._sessions.run(mlkem.is_offered, doing="try ML-KEM", mechanism="TRIAL", writable=True)
        return self._has_mlkem

    def generate_signing(self, label: str, policy: KeyPolicy = SIGNING) -> TokenSigningKey:
        """Generate a signing key; raises `KeyExists`."""
        self._create(lambda session, name: creation.generate(session, name, policy), label)
        return self.signing(label, policy)

    def generate_agreement(self, label: str, policy: KeyPolicy = AGREEMENT) -> TokenAgreementKey:
        """Generate an agreement key; raises `KeyExists`, and `MechanismMissing` before anything is made."""
        ways_through(self._sessions)  # raises
        self._create(lambda session, name: creation.generate(session, name, policy), label)
        return self.agreement(label, policy)

    def generate_mac(self, label: str, policy: KeyPolicy = MAC) -> MacKey:
        """Generate an HMAC-SHA256 key; raises `KeyExists`."""
        self._create(lambda session, name: creation.generate(session, name, policy), label)
        return self.mac(label, policy)

    def generate_mlkem(self, label: str, policy: KeyPolicy = ML_KEM) -> TokenMlKemKey:
        """Generate an ML-KEM-768 key; raises `KeyExists`, `MechanismMissing`."""
        self._create(lambda session, name: creation.generate(session, name, policy), label)
        return self.mlkem(label, policy)

    def import_key(self, label: str, policy: KeyPolicy, value: bytearray) -> None:
        """Store a key made elsewhere: a P-256 scalar, 32 bytes big-endian from 1 to n - 1, or an HMAC key.

        Raises `KeyExists`, `KeyInvalid`, `ImportRefused`. `value` is the caller's to wipe: the token reads it where it lies,
        unless it takes no key in plaintext. The key says of itself that it isn't LOCAL.
        """
        way = self.agreement_way if "DERIVE" in policy.usages else None
        self._create(lambda session, name: creation.import_key(session, name, policy, value, way), label)

    def make_transport(self, label: str) -> bytes:
        """Make a key pair that opens what other tokens wrap for it: its public half, DER. Raises `KeyExists`."""
        return self._create(transport.make_transport, label)

    def transport(self, label: str) -> bytes:
        """Return the public half of a transport key, DER."""
        return self._sessions.run(lambda session: transport.read_transport(session, label), doing=f"read {label!r}")

    def take_transport(self, public: bytes) -> bytes:
        """Take another token's transport key for a moment: what this token says that it is."""
        return self._sessions.run(
            lambda session: transport.take_transport(session, public), doing="take a transport key", writable=True
        )

    def wrap_new(self, policy: KeyPolicy, transports: Sequence[bytes]) -> tuple[Wrapped, ...]:
        """Make a key that no token stores yet, and wrap it for each of these transport keys (`hsm.transport`)."""
        return self._sessions.run(
            lambda session: transport.wrap_new(session, policy, transports), doing="wrap a new key", writable=True
        )

    def unwrap(self, label: str, policy: KeyPolicy, transport_label: str, wrapped: Wrapped) -> None:
        """Store a key that was wrapped for a transport key of this token.

        Raises `KeyExists`, `KeyPolicyViolation`, and `KeyInvalid` if it is another than its public half says.
        """
        way = self.agreement_way if "DERIVE" in policy.usages else None
        self._create(
            lambda session, name: transport.unwrap(session, name, policy, transport_label, wrapped, way), label
        )

    def signing(self, label: str, policy: KeyPolicy = SIGNING) -> TokenSigningKey:
        """Open a signing key."""

        def public_half(session: Session) -> ec.EllipticCurvePublicKey:
            session.key(label, policy)
            return read_public_half(session, label)

        public = self._sessions.run(public_half, doing=f"open the key {label!r}")
        self._sessions.watch(label, policy)
        return TokenSigningKey(self._sessions, label, policy, public)

    def agreement(self, label: str, policy: KeyPolicy = AGREEMENT, *, in_one: bool = False) -> TokenAgreementKey:
        """Open an agreement key; raises `KeyInvalid` if its public half in the token is another key's.

        Of a policy without a public half none is asked for, and the key shows none. A key that is `in_one` token of a group,
        because it was made there, is missed in no other.
        """
        ways_through(self._sessions)  # counted as a trial, and before a session is on loan

        def public_half(session: Session) -> ec.EllipticCurvePublicKey | None:
            key = session.key(label, policy)
            if not policy.has_public_half:
                return None
            public = read_public_half(session, label)
            creation.verify_half(session, key, public, ways_of(session)[0])
            return public

        public = self._sessions.run(public_half, doing=f"open the key {label!r}")
        if not in_one:
            self._sessions.watch(label, policy)
        return TokenAgreementKey(self._sessions, label, policy, public)

    def mac(self, label: str, policy: KeyPolicy = MAC) -> MacKey:
        """Open an HMAC key."""
        self._sessions.run(lambda session: session.key(label, policy), doing=f"open the key {label!r}")
        self._sessions.watch(label, policy)
        return MacKey(self._sessions, label, policy)

    def mlkem(self, label: str, policy: KeyPolicy = ML_KEM) -> TokenMlKemKey:
        """Open an ML-KEM-768 key; raises `KeyInvalid` if its public half in the token is another key's, or none."""
        public = self._sessions.run(
            lambda session: mlkem.public_half(session, label, policy), doing=f"open the key {label!r}"
        )
        self._sessions.watch(label, policy)
        return TokenMlKemKey(self._sessions, label, policy, public)

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
        """Try what the token can do, on throw-away keys: nothing of it stays. Raises if the token goes away."""
        return try_all(self._sessions)

    def nonces(self, signatures: int = 4096, progress: Callable[[int], None] = lambda _done: None) -> NonceReport:
        """Judge the nonces of the token's ECDSA by a throw-away key; `progress` is told how far it is.

        Raises ValueError for less than 256 signatures, `ImportRefused` if the token takes no key.
        """
        return measure(self._sessions, signatures, progress)

    def change_pin(self, old: Pin, new: Pin) -> None:
        """Return the user another PIN; raises `PinIncorrect` if `old` is wrong, or `new` of a length that the token refuses.

        One attempt. A later login asks the provider that opened the token: it has to know the new PIN by then.
        """
        self._sessions.run(
            lambda session: session.cryptoki.set_pin(session.raw.handle, old.reveal(), new.reveal()),
            doing="change the PIN",
            writable=True,
        )

    def log_out(self) -> None:
        """Give all sessions back and log out, when work that is under way has ended; keys that were opened stay usable.

        The next use logs in again, through the provider that opened the token.
        """
        self._sessions.log_out()

    def log_in(self) -> None:
        """Log in again because a person wants to, unless the login stands.

        Asks for the PIN once, even if it was refused before: only a person decides on another try. Raises as `open_token`.
        """
        self._sessions.log_in()

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

    def _create(self, make: Callable[[Session, str], _Made], label: str) -> _Made:
        name = checked_label(label)
        with key_creation_lock():
            return self._sessions.run(
                lambda session: make(session, name), doing=f"make the key {name!r}", writable=True
            )


def open_token(
    uri: TokenUri,
    pin_provider: PinProvider,
    *,
    sessions: int = 4,
    wait: timedelta = DEFAULT_WAIT,
    attempts: int = LOGIN_ATTEMPTS,
) -> Token:
    """Find the token, ask for its PIN and log in, once.

    At most `sessions` calls work at a time; a further one waits at most `wait`, then raises `TokenBusy`. Raises
    `ModuleNotFound`, `ModuleUnusable`, `TokenNotFound`, `AmbiguousToken`, `TokenInUse`, `PinIncorrect`, `PinLocked`,
    `PinFinalTry`, `PinUnavailable`. Each of the `attempts` behind the first restarts the module, if all its users can log
    in again.
    """
    loaded = module.load(uri.module_path)
    login = Login(loaded, uri, pin_provider, attempts)
    quirks = quirks_of(login.token.manufacturer_id, login.token.model, loaded.description)
    return Token(Sessions(loaded, login, quirks, size=sessions, wait=wait), login.token)


def read_public_half(session: Session, label: str) -> ec.EllipticCurvePublicKey:
    """Return the public half that the token shows of a key; raises `KeyNotFound`, `KeyAmbiguous`, `KeyInvalid`."""
    return public_key_of(session.one(ObjectClass.PUBLIC_KEY, label)[Attribute.EC_POINT])
