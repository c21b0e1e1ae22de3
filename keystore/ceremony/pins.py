"""The PIN of the ceremony's token: typed by the administrator, or in shares that the officers hold.

No PIN and no share is written anywhere by us. A PIN that was put in shares is tested with shares that the officers give back,
before the token is told of it; until then its old PIN holds.
"""

from typing import Final

from hsm import Pin, PinProvider
from keystore.ceremony.errors import CeremonyError
from keystore.ceremony.room import Room
from keystore.errors import TooFewShares
from keystore.quorum import Share, combine_pin, split_pin

_PIN_BYTES: Final = 16
SPLIT: Final = "by officers"
CHANGING: Final = "changing"


def provider(room: Room) -> PinProvider:
    """Give how the token's PIN comes in now. Raises what `combine` raises, before any token is touched."""
    if room.plan.joins_pin or room.state.pin_held in {SPLIT, CHANGING}:
        pin = _from_shares(room)
        room.pin = lambda: pin
    else:
        room.pin = room.desk.pin("token", "PIN of the ceremony's token")

    def current() -> Pin:
        return room.pin()

    return current


def split(room: Room) -> None:
    """Give the token a new PIN from its own random numbers, and each officer a share of it. Raises HsmError."""
    if room.state.pin_held == SPLIT:
        return
    threshold, officers = room.plan.threshold, room.plan.roles.officers
    if threshold is None:
        raise CeremonyError("the file names no quorum")
    pin = Pin(room.token.random(_PIN_BYTES).hex())
    shares = split_pin(pin, threshold=threshold, holders=officers)
    for share in shares:
        room.desk.show_share(share.holder, share.text())
    back = _from_shares(room)
    old = room.desk.pin("token", "PIN of the ceremony's token, for the last time")()
    _change(room, old, back)
    facts = {"threshold": threshold, "officers": list(officers), "splitting": shares[0].splitting}
    room.transcript.add("pin-split", room.plan.roles.administrator, **facts)


def _change(room: Room, old: Pin, new: Pin) -> None:
    room.state.pin_held = CHANGING
    room.state.save()
    room.token.change_pin(old, new)
    room.pin = lambda: new  # a token that is lost and found again is logged in to with the PIN that it has now
    room.state.pin_held = SPLIT
    room.state.save()


def _from_shares(room: Room) -> Pin:
    """Put the PIN together from the shares of as many officers as it takes. Raises what `combine` raises."""
    return combine_pin(taken_shares(room))


def taken_shares(room: Room) -> list[Share]:
    """Take the officers' shares. Raises TooFewShares, CorruptShare."""
    given = [room.desk.take_share(name) for name in room.plan.roles.officers]
    shares = [Share.parse(text) for text in given if text]
    if room.plan.threshold is not None and len(shares) < room.plan.threshold:
        raise TooFewShares(f"{room.plan.threshold} shares are needed; there are {len(shares)}")
    return shares
