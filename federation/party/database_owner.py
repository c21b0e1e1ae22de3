"""Whose database it is: a server's name in it, put there when the server is made and looked for whenever it is opened.

A URL is easily another's. A server that began an empty log, or wrote into somebody else's rows, would say nothing for long.
"""

import json
from dataclasses import dataclass
from typing import Final

from federation.settings import ConfigError
from federation.store.database import Database
from federation.store.party import Settings
from hsm import Token
from hsm.errors import KeyNotFound
from keystore.curve import compressed
from keystore.party import IDENTITY

_NAME: Final = "node"


@dataclass(frozen=True)
class Owner:
    """A server, and the identity key of its making."""

    identity: str
    first_key: bytes

    def to_json(self) -> bytes:
        """Return the form in which it is kept."""
        return json.dumps({"identity": self.identity, "first_key": self.first_key.hex()}).encode()


def owner_of(database: Database) -> Owner | None:
    """Return whose database it is, if it is anybody's."""
    kept = Settings(database).get(_NAME)
    if kept is None:
        return None
    document = json.loads(kept)
    return Owner(document["identity"], bytes.fromhex(document["first_key"]))


def require_free(database: Database, identity: str, token: Token) -> None:
    """Check that a server may be made in a database, before its keys are: it is nobody's, or its own begun one.

    Raises ConfigError.
    """
    owner = owner_of(database)
    if owner is None:
        return
    if owner.identity != identity:
        raise ConfigError(f"database.url: this database is {owner.identity}'s, and can't be {identity}'s as well")
    if owner.first_key != _first_key(token):
        raise ConfigError(
            f"database.url: this database is {identity}'s already, made with other keys than this token's: restore that node,"
            " or name an empty database"
        )


def claim(database: Database, identity: str, token: Token) -> None:
    """Make it this server's. Raises ConfigError if another was first."""
    owner = Owner(identity, _first_key(token) or b"")
    if not Settings(database).advance(_NAME, 1, owner.to_json()):
        require_free(database, identity, token)


def require_owner(database: Database, identity: str) -> None:
    """Check that a database is this server's. Raises ConfigError."""
    owner = owner_of(database)
    if owner is None:
        raise ConfigError("database.url: no node was made in this database; `init` makes it where the settings say")
    if owner.identity != identity:
        raise ConfigError(f"database.url: this database is {owner.identity}'s, not {identity}'s")


def _first_key(token: Token) -> bytes | None:
    try:
        return compressed(token.signing(IDENTITY).public_key())
    except KeyNotFound:
        return None
