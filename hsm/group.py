"""Tokens that hold the same keys, used as one: what the first can't do for being lost, the next does (docs/adr/0028).

The first one that serves is used, in the order in which they were named. One that is lost is left at once, without a look for
it: that is for whoever asks for its health, or for a call that finds nobody else. It serves again when every key that was
opened is seen to be the same in it.

What a token refuses, or does wrongly, is not tried elsewhere: only its absence is, and that it lacks a key.
"""

import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from threading import Lock
from typing import Final, NoReturn, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute

from hsm import errors
from hsm.agreement import hmac_sha256, prf, ways_of
from hsm.creation import verify_half
from hsm.keys import MacKey, TokenAgreementKey, TokenSigningKey
from hsm.login import LOGIN_ATTEMPTS
from hsm.metrics import MANAGEMENT, TokenMetrics
from hsm.pin import Pin, PinProvider
from hsm.policy import AGREEMENT, MAC, SIGNING, KeyKind, KeyPolicy
from hsm.quirks import point_of
from hsm.sessions import KnownWays, Session, Sessions
from hsm.token import DEFAULT_WAIT, Token, open_token, read_public_half
from hsm.uri import TokenUri

_Result = TypeVar("_Result")
_Known = Mapping[tuple[str, KeyPolicy], bytes]
_PROBE: Final = b"the same key in every token"
_OPENING_INTERVAL: Final = timedelta(seconds=1)
# Some modules show a token that came back only when they are restarted, and that logs every other token out for a moment.
_RESTART_INTERVAL: Final = timedelta(seconds=10)
_MOMENT: Final = timedelta(seconds=5)
_PIN_ERRORS: Final = (errors.PinIncorrect, errors.PinLocked, errors.PinFinalTry)


def fingerprint(session: Session, label: str, policy: KeyPolicy, peer: ec.EllipticCurvePublicKey) -> bytes:
    """Return what two tokens have alike only if they hold the same key; raises `KeyInvalid` for halves that don't belong.

    A code, an agreement with a peer, or the public half of a key that was seen to sign.
    """
    key = session.key(label, policy)
    if policy.kind is KeyKind.HMAC_256:
        return hmac_sha256(session, key.handle, _PROBE)
    way = ways_of(session)[0] if "DERIVE" in policy.usages else None
    public = read_public_half(session, label) if policy.has_public_half else None
    if public is not None:
        verify_half(session, key, public, way)
    if way is not None:
        return prf(session, key, way, point_of(peer), _PROBE, _PROBE)
    if public is None:
        raise errors.KeyInvalid(f"The signing key {label!r} has no public half to be known by.")
    return point_of(public)


class Member:
    """One token of a group: whether it serves, else why not, and which keys of the others it lacks."""

    def __init__(self, name: str, open_it: Callable[[int], Token]) -> None:
        """Name a token that isn't open yet; `open_it` is told how many attempts it has, as `hsm.login` counts them."""
        self.name = name
        self.token: Token | None = None
        self.serves = False
        self.fault: errors.HsmError | None = None
        self.lacks: frozenset[str] = frozenset()
        self.served_until = float("-inf")  # by the monotonic clock, in seconds
        self.returning = Lock()
        self._open_it = open_it
        self._next_opening = 0.0
        self._may_restart_from = 0.0
        self._refused: errors.HsmError | None = None

    @property
    def reason(self) -> str:
        """Return why it doesn't serve, or not everything, as the reason of an error; empty if it does."""
        if self.fault is not None:
            return self.fault.reason
        return errors.KeyNotFound.reason if self.lacks else ""

    @property
    def opened(self) -> Token:
        """Return the token, which was there at least once; raises `TokenUnavailable` otherwise."""
        if self.token is None:
            raise errors.TokenUnavailable(f"The token {self.name} was not there yet.")
        return self.token

    @property
    def sessions(self) -> Sessions:
        """Return the sessions of this token alone."""
        return self.opened.own_sessions

    def leave(self, fault: errors.HsmError) -> None:
        """Serve no more, until it is seen to be back."""
        if self.serves:
            self.served_until = time.monotonic()
        self.serves, self.fault = False, fault

    def serve(self) -> None:
        """Serve again."""
        self.serves, self.fault = True, None

    def served_lately(self) -> bool:
        """Return whether it serves, or did a moment ago: a restart of its module logs it out until its next use."""
        return self.serves or time.monotonic() - self.served_until < _MOMENT.total_seconds()

    def reach(self, *, sparing: bool) -> None:
        """Open the token, or find it again; `sparing` others, its module is restarted for that only now and then.

        Raises `TokenUnavailable`, or what a wrong PIN raises: that is tried once.
        """
        if self._refused is not None:
            raise errors.TokenUnavailable(f"The token {self.name} refused its PIN: {self._refused}")
        if self.token is not None:
            if not self.sessions.answers() and not self.sessions.may_be_looked_for:
                raise errors.TokenUnavailable(f"The token {self.name} is looked for again in a moment.")
            self.sessions.come_back(self._attempts(sparing=sparing))
            return
        if time.monotonic() < self._next_opening:
            raise errors.TokenUnavailable(f"The token {self.name} is looked for again in a moment.")
        self._next_opening = time.monotonic() + _OPENING_INTERVAL.total_seconds()
        try:
            self.token = self._open_it(self._attempts(sparing=sparing))
        except (errors.SessionLost, errors.TokenFailed, errors.TokenNotFound) as error:
            raise errors.TokenUnavailable(f"The token {self.name} is not there: {error}") from error
        except _PIN_ERRORS as error:
            self._refused = error
            raise

    def _attempts(self, *, sparing: bool) -> int:
        if not sparing:
            return LOGIN_ATTEMPTS
        now = time.monotonic()
        if now < self._may_restart_from:
            return 1
        self._may_restart_from = now + _RESTART_INTERVAL.total_seconds()
        return 2

    def metrics(self) -> TokenMetrics | None:
        """Return what this process did with the token so far; None if it was never there."""
        return None if self.token is None else self.token.metrics()


class SessionGroup:
    """The sessions of several tokens: what `Sessions` is to one. Safe to share between threads."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Take the members, none of which serves yet."""
        self.members = members
        self._changing = Lock()
        self._known: dict[tuple[str, KeyPolicy], bytes] = {}
        self._destroyed: set[str] = set()
        self._peer = ec.generate_private_key(ec.SECP256R1()).public_key()

    @property
    def ways(self) -> KnownWays:
        """Return the ways of the token that is used now, as far as they are known."""
        return next((member.sessions.ways for member in self.serving()), KnownWays())

    def serving(self) -> list[Member]:
        """Return who serves, the first to be used first."""
        return [member for member in self.members if member.serves]

    def run(
        self,
        work: Callable[[Session], _Result],
        *,
        doing: str,
        mechanism: str = MANAGEMENT,
        writable: bool = False,
    ) -> _Result:
        """Do some work in the first token that is there and holds what it needs.

        Raises as `Sessions.run`; `TokenUnavailable` only if none of the tokens is there that may hold what is needed.
        """

        lacking: errors.KeyNotFound | None = None
        for member in self._candidates():
            try:
                return member.sessions.try_once(work, doing=doing, mechanism=mechanism, writable=writable)
            except errors.TokenUnavailable as error:
                member.leave(error)
            except errors.KeyNotFound as error:
                lacking = error
        if lacking is not None and all(member.serves for member in self.members):
            raise lacking
        raise errors.TokenUnavailable(f"Could not {doing}: {self._who_is_away()}")

    def _candidates(self) -> Iterator[Member]:
        """Yield who serves, then whoever can be brought back now."""
        yield from self.serving()
        # A module that was restarted for one token has logged the others out: who served last is most likely there, and
        # another thread may have brought it back already.
        for member in sorted(self.members, key=lambda it: (it.serves, it.served_until), reverse=True):
            with suppress(errors.HsmError):  # it stays away, and `fault` says why
                self.bring_back(member)
                yield member

    def each(self, work: Callable[[Session], _Result], *, doing: str) -> list[_Result]:
        """Do some work in every token that is there; raises `TokenUnavailable` if none is."""
        results = []
        for member in self.serving():
            try:
                results.append(member.sessions.try_once(work, doing=doing))
            except errors.TokenUnavailable as error:
                member.leave(error)
        return results or [self.run(work, doing=doing)]

    def require_all(self) -> list[Member]:
        """Return all members, each of which serves; raises `TokenUnavailable` that names those that don't."""
        for member in self.members:
            with suppress(errors.HsmError):
                self.bring_back(member)
        if not all(member.serves for member in self.members):
            raise errors.TokenUnavailable(self._who_is_away())
        return list(self.members)

    def bring_all_back(self) -> None:
        """Open every token that is there; raises `TokenUnavailable` if none is, and whatever else is wrong with one."""
        for _ in range(2):  # a module that was restarted for one that is away has logged out those before it
            for member in self.members:
                with suppress(errors.TokenUnavailable):
                    if not member.serves or not self._answers(member):
                        self.bring_back(member)
        if not self.serving():
            raise errors.TokenUnavailable(self._who_is_away())

    def bring_back(self, member: Member) -> None:
        """Let a member serve again that is there and holds no other key than the rest; raises why it doesn't."""
        with member.returning:
            if member.serves:
                return
            try:
                member.reach(sparing=any(it.served_lately() for it in self.members if it is not member))
                self._destroy_late(member)
                while not self._admitted(member):
                    pass  # a key was opened meanwhile: compare that one, too
            except errors.HsmError as error:
                member.leave(error)
                raise

    def look_at(self, member: Member) -> bool:
        """Return whether a member serves and lacks nothing, bringing it back if it was away; raises nothing."""
        if not (member.serves and self._answers(member)):
            with suppress(errors.HsmError):
                self.bring_back(member)
        elif member.lacks:
            try:  # what it lacked may be there by now
                self._compare(member, self._known_now())
            except errors.HsmError as error:
                member.leave(error)
        return member.serves and not member.lacks

    def probe(self) -> bool:
        """Return whether a member answers, bringing one back if none does."""
        if any(self._answers(member) for member in self.serving()):
            return True
        try:
            self.run(lambda session: session.random(1), doing="probe the tokens", mechanism="RANDOM")
        except errors.TokenBusy:
            return True
        except errors.HsmError:
            return False
        return True

    def watch(self, label: str, policy: KeyPolicy) -> None:
        """Compare a key that is being opened in all that serve; raises `KeysDiffer` if it isn't one key.

        A member that lacks it is left out for it, and noted. Those that come back later are held against what was found here.
        """
        found: dict[Member, bytes | None] = {}
        while True:
            for member in self.serving():
                if member not in found:
                    with suppress(errors.TokenUnavailable):
                        found[member] = self._fingerprint(member, label, policy)
            with self._changing:
                if all(member in found for member in self.serving()):
                    self._settle(label, policy, found)
                    return

    def destroy(self, label: str) -> bool:
        """Destroy what has this label in all that serve, and return whether there was anything."""
        found = False
        for member in self.serving():
            try:
                member.opened.destroy(label)
                found = True
            except errors.TokenUnavailable as error:
                member.leave(error)
            except errors.KeyNotFound:
                pass
        self.forget(label)
        return found

    def forget(self, label: str) -> None:
        """Ask for this key no more, in no member: it was destroyed; those that are away destroy it when they are back."""
        with self._changing:
            self._known = {named: print_ for named, print_ in self._known.items() if named[0] != label}
            if not all(member.serves for member in self.members):
                self._destroyed.add(label)
        for member in self.members:
            member.lacks -= {label}

    def keep(self, label: str) -> None:
        """Destroy this label in nobody any more: it is about to be imported again."""
        self._destroyed.discard(label)

    def metrics(self) -> TokenMetrics:
        """Return what was done with the token that is used now, or was last."""
        return max(self.members, key=lambda it: (it.serves, it.served_until)).opened.metrics()

    def log_out(self) -> None:
        """Log out of all members; the next use logs in to whichever it finds."""
        for member in self.members:
            if member.token is not None:
                member.token.log_out()

    def log_in(self) -> None:
        """Log in to every member that is there; raises what is wrong with a PIN, `TokenUnavailable` if none is there."""
        for member in self.members:
            if member.token is not None:
                with suppress(errors.TokenUnavailable, errors.TokenNotFound, errors.TokenFailed):
                    member.token.log_in()
        self.bring_all_back()

    def close(self) -> None:
        """Close all members."""
        for member in self.members:
            if member.token is not None:
                member.token.close()

    def _known_now(self) -> _Known:
        with self._changing:
            return dict(self._known)

    def _admitted(self, member: Member) -> bool:
        known = self._known_now()
        self._compare(member, known)
        with self._changing:
            if known.keys() != self._known.keys():
                return False
            member.serve()
            return True

    def _compare(self, member: Member, known: _Known) -> None:
        lacks = set()
        for (label, policy), expected in known.items():
            found = self._fingerprint(member, label, policy)
            if found is None:
                lacks.add(label)
            elif not hmac.compare_digest(found, expected):
                raise errors.KeysDiffer(f"The token {member.name} holds another key {label!r} than the others.")
        member.lacks = frozenset(lacks)

    def _fingerprint(self, member: Member, label: str, policy: KeyPolicy) -> bytes | None:
        """Return the fingerprint of a member's key, None if it lacks the key; a fault names the member."""
        try:
            if "DERIVE" in policy.usages:  # found in a writable session, and before a call needs it
                self._try_ways(member)
            found = member.sessions.try_once(
                lambda session: fingerprint(session, label, policy, self._peer), doing=f"compare the key {label!r}"
            )
        except errors.KeyNotFound:
            return None
        except errors.TokenUnavailable as error:
            member.leave(error)
            raise
        except errors.HsmError as error:
            raise type(error)(f"In the token {member.name}: {error}") from error
        member.sessions.watch(label, policy)
        return found

    def _try_ways(self, member: Member) -> None:
        if not member.sessions.ways.found:
            member.sessions.try_once(ways_of, doing="agree on a secret", mechanism="TRIAL", writable=True)

    def _settle(self, label: str, policy: KeyPolicy, found: Mapping[Member, bytes | None]) -> None:
        expected = self._known.get((label, policy))
        for member, print_ in found.items():
            if print_ is None:
                continue
            expected = print_ if expected is None else expected
            if not hmac.compare_digest(print_, expected):
                raise errors.KeysDiffer(f"The token {member.name} holds another key {label!r} than the others.")
        if expected is None:  # everybody who had it went away meanwhile
            raise errors.TokenUnavailable(self._who_is_away())
        self._known[label, policy] = expected
        for member, print_ in found.items():
            member.lacks = member.lacks | {label} if print_ is None else member.lacks - {label}

    def _answers(self, member: Member) -> bool:
        try:
            member.sessions.try_once(member.sessions.look, doing="probe the token", mechanism="RANDOM")
        except errors.TokenBusy:
            return True
        except errors.HsmError as error:
            member.leave(error)
            return False
        return True

    def _destroy_late(self, member: Member) -> None:
        """Destroy what the others destroyed while a member was away."""
        for label in tuple(self._destroyed):
            with suppress(errors.KeyNotFound):
                member.opened.destroy(label)

    def _who_is_away(self) -> str:
        away = (f"{member.name} ({member.fault})" for member in self.members if not member.serves)
        return f"Of the group's tokens these don't serve: {'; '.join(away)}"


class TokenGroup(Token):
    """Several tokens with the same keys, as one `Token`. It makes no keys: what one token makes, no other has."""

    makes_keys = False

    def __init__(self, sessions: SessionGroup) -> None:
        """Take over a group of which one member serves; use `open_group`."""
        self._group = self._sessions = sessions
        first = sessions.serving()[0].opened
        self.label, self.serial = first.label, first.serial
        self.manufacturer, self.model, self.firmware = first.manufacturer, first.model, first.firmware

    @property
    def members(self) -> Sequence[Member]:
        """Return the tokens, in the order in which they are used."""
        return self._group.members

    @property
    def each(self) -> Sequence[Token]:
        """Return those of the tokens that serve, each alone."""
        return [member.opened for member in self._group.serving()]

    def metrics_of_each(self) -> Mapping[int, TokenMetrics]:
        """Return what this process did with each, by its number from 1; one that was never there has none."""
        seen = {number: member.metrics() for number, member in enumerate(self.members, start=1)}
        return {number: metrics for number, metrics in seen.items() if metrics is not None}

    def member_health(self, member: Member) -> bool:
        """Return whether a member serves and lacks no key that was opened; looks for it again. Raises nothing."""
        return self._group.look_at(member)

    def generate_signing(self, label: str, policy: KeyPolicy = SIGNING) -> TokenSigningKey:  # noqa: ARG002
        """Raise `GroupMakesNoKeys`."""
        self._refuse(label)

    def generate_agreement(self, label: str, policy: KeyPolicy = AGREEMENT) -> TokenAgreementKey:  # noqa: ARG002
        """Raise `GroupMakesNoKeys`."""
        self._refuse(label)

    def generate_mac(self, label: str, policy: KeyPolicy = MAC) -> MacKey:  # noqa: ARG002
        """Raise `GroupMakesNoKeys`."""
        self._refuse(label)

    def import_key(self, label: str, policy: KeyPolicy, value: bytearray) -> None:
        """Store a key in every token, or in none; raises as for one, and `TokenUnavailable` if one of them is away."""
        members, stored = self._group.require_all(), []
        self._group.keep(label)
        try:
            for member in members:
                member.opened.import_key(label, policy, value)
                stored.append(member)
        except BaseException:
            for member in stored:
                with suppress(errors.HsmError):  # what went wrong first is told; the next attempt clears up
                    member.opened.destroy(label)
            raise

    def has(self, label: str) -> bool:
        """Return whether any of the tokens that are there holds anything of this label."""
        found = self._group.each(lambda session: bool(session.search({Attribute.LABEL: label})), doing="look for a key")
        return any(found)

    def destroy(self, label: str) -> None:
        """Destroy every object of this label in all tokens, in one that is away when it is back.

        Raises `KeyNotFound` if none that is there holds one.
        """
        if not self._group.destroy(label):
            raise errors.KeyNotFound(f"No token of the group holds anything called {label!r}.")

    def change_pin(self, old: Pin, new: Pin) -> NoReturn:  # noqa: ARG002
        """Raise `PinUnacceptable`: each token has a PIN of its own."""
        raise errors.PinUnacceptable("Each token of a group has a PIN of its own: change it there.")

    def __repr__(self) -> str:
        """Show the members' names."""
        return f"<TokenGroup {', '.join(member.name for member in self.members)}>"

    def _refuse(self, label: str) -> NoReturn:
        raise errors.GroupMakesNoKeys(
            f"The key {label!r} has to be in every token of the group: make it in a ceremony, not in one of them."
        )


def open_group(
    named: Iterable[tuple[TokenUri, PinProvider]], *, sessions: int = 4, wait: timedelta = DEFAULT_WAIT
) -> TokenGroup:
    """Open tokens that hold the same keys. One that is away is looked for later; any other fault is raised here.

    `sessions` are those of each token. Raises as `open_token` does; `TokenUnavailable` if no token is there.
    """
    members = [
        Member(name, _opener(uri, pin, sessions=sessions, wait=wait)) for name, (uri, pin) in _names(list(named))
    ]
    group = SessionGroup(members)
    try:
        group.bring_all_back()
    except BaseException:
        group.close()
        raise
    return TokenGroup(group)


def _opener(uri: TokenUri, pin: PinProvider, *, sessions: int, wait: timedelta) -> Callable[[int], Token]:
    return lambda attempts: open_token(uri, pin, sessions=sessions, wait=wait, attempts=attempts)


def _names(named: Sequence[tuple[TokenUri, PinProvider]]) -> Iterable[tuple[str, tuple[TokenUri, PinProvider]]]:
    """Name each token by its label, else its serial number; by both where another has that label, too."""
    labels = [uri.token for uri, _ in named]
    for uri, pin in named:
        is_unique = uri.token is not None and labels.count(uri.token) == 1
        yield uri.token if is_unique and uri.token else " ".join(filter(None, (uri.token, uri.serial))), (uri, pin)
