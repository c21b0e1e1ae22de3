"""How tokens are opened at a ceremony: PINs that are typed or come in shares, and what is asked once more.

A PIN that the token refused is asked for once more, with what the token says of its counter; the token's last try is never
spent. A share is looked at when it is typed, alone and beside those before it, so that whose is wrong is known then. What M
officers gave is put together before the token is asked: bad shares cost no try.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from hsm import Pin, PinProvider, Token, TokenUri, open_token
from hsm.errors import HsmError, PinIncorrect, TokenNotFound, TokenUnavailable
from hsm.survey import tokens_of
from keystore.ceremony.console import Room
from keystore.ceremony.plan import OWN
from keystore.errors import CorruptShare, DuplicateShare, MixedShares, TooFewShares
from keystore.quorum import Share, combine_pin

SPLIT: Final = "by officers"
CHANGING: Final = "changing"
_FAULTS_OF_A_SHARE: Final = (CorruptShare, DuplicateShare, MixedShares)
_COUNTER: Final = {
    "USER_PIN_LOCKED": "it has locked its PIN",
    "USER_PIN_FINAL_TRY": "one try is left, which is not spent here",
    "USER_PIN_COUNT_LOW": "a wrong PIN was typed since the last right one",
}
T = TypeVar("T")


def open_checked(uri: TokenUri, provider: PinProvider) -> Token:
    """Open a token, and hold its serial number against the file's. Raises TokenNotFound and what `open_token` raises."""
    token = open_token(uri, provider)
    if token.serial != uri.serial:
        token.close()
        raise TokenNotFound(f"The token's serial number is {token.serial}, not {uri.serial}.")
    return token


def open_asking(name: str, uri: TokenUri, room: Room, *, whose: str, by: str, on_record: bool = True) -> Token:
    """Open a token whose PIN somebody types; one that is away, or refuses the PIN, gets another try.

    `on_record`: the transcript is not closed yet, and says that a PIN was refused. Raises what `open_checked` raises.
    """
    provider = room.pins[name] = room.pin(name, f"{by}: PIN of {whose}", by)
    try:
        return _connected(name, uri, provider, room, whose)
    except PinIncorrect as error:
        counter = counter_of(uri)
        if on_record:
            facts = {"serial": uri.serial, "reason": error.reason, "counter": list(counter)}
            room.transcript.add("asked-again", by, **facts)
        said = "; ".join(_COUNTER[state] for state in counter) or "nothing, so take care"
        room.desk.try_again(f"pin.{name}", PinIncorrect(f"{_begun(whose)} refused the PIN. Its counter says: {said}."))
    try:
        return _connected(name, uri, provider, room, whose)
    except PinIncorrect as error:
        raise PinIncorrect(f"{_begun(whose)} refused the PIN twice; it is not asked a third time.") from error


def _connected(name: str, uri: TokenUri, provider: PinProvider, room: Room, whose: str) -> Token:
    """Open a token, however often it has to be connected."""
    while True:
        try:
            return open_checked(uri, provider)
        except (TokenNotFound, TokenUnavailable) as error:
            room.desk.try_again(f"connect.{name}", TokenNotFound(f"{_begun(whose)} is not there: {error}"))
            room.desk.ask(f"connect.{name}", f"Connect it (serial number {uri.serial}), then press Enter")


def _begun(whose: str) -> str:
    return whose[:1].upper() + whose[1:]


def counter_of(uri: TokenUri) -> tuple[str, ...]:
    """Return what a token says of its PIN's counter: PKCS#11 has no number for it."""
    try:
        found = next((token for token in tokens_of(uri.module_path) if token.serial == uri.serial), None)
    except HsmError:
        return ()
    return tuple(state for state in found.pin_states if state in _COUNTER) if found else ()


def open_own(name: str, room: Room) -> Token:
    """Open a token that this ceremony changes. Raises what `open_checked` and `quorum_of` raise."""
    uri, whose = room.plan.tokens[name], whose_token(name, room)
    if _is_joined(name, room):
        try:
            return _connected(name, uri, pin_provider(room, name), room, whose)
        except PinIncorrect:
            if room.state.pin_held.get(name) != CHANGING:
                raise
            room.desk.say(f"{_begun(whose)} refused the PIN of the shares: it did not get it before the interruption.")
            del room.state.pin_held[name]
            room.state.save()
    return open_asking(name, uri, room, whose=whose, by=room.plan.roles.administrator)


def _is_joined(name: str, room: Room) -> bool:
    return room.plan.joins_pin or room.state.pin_held.get(name) in {SPLIT, CHANGING}


def pin_provider(room: Room, name: str) -> PinProvider:
    """Return how a token's PIN comes in now. Raises what `quorum_of` raises, before any token is touched."""
    if _is_joined(name, room):
        pin = room.joined_pin = room.joined_pin or quorum_of(room, combine_pin)
        room.pins[name] = lambda: pin
    else:
        lead = room.plan.roles.administrator
        room.pins[name] = room.pin(name, f"{lead}: PIN of {whose_token(name, room)}", lead)

    def current() -> Pin:
        return room.pins[name]()

    return current


def whose_token(name: str, room: Room) -> str:
    """Return what a token of this ceremony is called."""
    return f"{'the ceremony' if name == OWN else 'the twin'}'s token {room.plan.tokens[name].token!r}"


def quorum_of(room: Room, use: Callable[[list[Share]], T], *, splitting: int | None = None) -> T:
    """Take shares from as many officers as are needed, and return what they give; all are asked again if that is nothing.

    `splitting`: whose shares alone will do. Raises TooFewShares, MixedShares, DuplicateShare, CorruptShare.
    """
    while True:
        try:
            return use(_taken(room, splitting))
        except (TooFewShares, MixedShares) as error:
            room.desk.try_again("shares", error)


def _taken(room: Room, splitting: int | None) -> list[Share]:
    needed = room.plan.threshold or 0
    given: list[Share] = []
    for holder in room.plan.roles.officers:
        if len(given) < needed and (share := _one(holder, given, room, splitting)):
            given.append(share)
    if len(given) < needed:
        raise TooFewShares(f"{needed} shares are needed; there are {len(given)}.")
    return given


def _one(holder: str, given: list[Share], room: Room, splitting: int | None) -> Share | None:
    missing = (room.plan.threshold or 0) - len(given)
    while True:
        typed = room.share(holder, f"{missing} more needed; Enter alone gives none")
        if not typed:
            return None
        try:
            share = _read(holder, typed)
            _require_fits(share, given, splitting)
        except _FAULTS_OF_A_SHARE as error:
            room.desk.try_again(f"share.{holder}", error)
        else:
            return share


def _read(holder: str, typed: str) -> Share:
    """Read a share under its holder's name. Raises CorruptShare."""
    try:
        read = Share.parse(typed)
    except CorruptShare as error:
        raise CorruptShare(f"{holder}'s share: {error}") from None
    return Share(holder, read.index, read.threshold, read.splitting, read.words)


def _require_fits(share: Share, given: list[Share], splitting: int | None) -> None:
    if splitting is not None and share.splitting != splitting:
        raise MixedShares(f"{share.holder}'s share is of another splitting than the backup card.")
    for other in given:
        if share.index == other.index and share.splitting == other.splitting:
            raise DuplicateShare(f"{share.holder} typed the share that {other.holder} gave.")
        if share.splitting != other.splitting:
            raise MixedShares(f"{share.holder}'s share is of another splitting than {other.holder}'s.")


def give_out(shares: list[Share], room: Room) -> list[Share]:
    """Show each holder their share alone, and have it typed back at once; return what was typed.

    Raises MixedShares, CorruptShare, TooFewShares where nobody can try again.
    """
    return [_written_down(share, room) for share in shares]


def _written_down(shown: Share, room: Room) -> Share:
    room.desk.show_share(shown)
    while True:
        typed = room.share(shown.holder, "type it back from your paper; Enter alone shows it once more")
        if not typed:
            room.desk.try_again(f"share.{shown.holder}", TooFewShares(f"{shown.holder} did not type their share back."))
            room.desk.show_share(shown)
            continue
        try:
            return _require_shown(_read(shown.holder, typed), shown)
        except (CorruptShare, MixedShares) as error:
            room.desk.try_again(f"share.{shown.holder}", error)


def _require_shown(typed: Share, shown: Share) -> Share:
    if (typed.index, typed.splitting, typed.words) != (shown.index, shown.splitting, shown.words):
        raise MixedShares(f"{shown.holder} typed another share than the one that was shown to them")
    return typed
