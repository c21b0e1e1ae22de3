"""The end of a ceremony: everybody present signs the transcript's head, each with the key of their own token."""

from collections.abc import Callable

from hsm import PinProvider, Token, TokenUri
from keystore.ceremony.errors import ParticipantKeyWrong
from keystore.ceremony.room import Room
from keystore.ceremony.transcript import Entry, signed_message

Open = Callable[[TokenUri, PinProvider], Token]


def sign(room: Room, open_checked: Open) -> None:
    """Close the transcript and have it signed. Raises ParticipantKeyWrong, HsmError.

    One token is open at a time, so that one reader will do.
    """
    closed = room.transcript.add("closed", room.plan.roles.administrator, steps="done")
    room.show_digest("the transcript", closed.digest)
    for name in sorted(room.plan.participants):
        _sign_as(name, closed, room, open_checked)


def _sign_as(name: str, closed: Entry, room: Room, open_checked: Open) -> None:
    participant = room.plan.participants[name]
    provider = room.desk.pin(name, f"{name}, to sign the transcript: PIN of your token")
    with open_checked(participant.token, provider) as token:
        key = token.ed25519(participant.key)
        if key.public_key().public_bytes_raw().hex() != participant.public_key:
            raise ParticipantKeyWrong(f"{name}'s token holds another key than the ceremony's file names")
        signature = key.sign(signed_message(closed.digest))
    room.transcript.add("signed", name, signature=signature.hex())
    room.desk.say(f"{name} has signed.")
