"""A node's first keys, made so that an `init` that was cut off can be gone on with.

Before the first key a note in the node's directory names the token, in which none of the node's keys was. Whatever of them is
there when `init` runs again was made by it: whole keys are kept, half a pair gives way, the rest is made. No whole key is lost.
A database that was begun is gone on with too (federation/party/database_owner.py); nothing of it is removed.
"""

import json
from pathlib import Path
from typing import TypeVar

from federation.party.node_directory import NodeDirectory, write_private
from federation.settings import ConfigError
from hsm import Token
from hsm.errors import KeyExists
from keystore.keyring import generate
from keystore.party import PartyKeys
from keystore.policies import POLICIES, audit

K = TypeVar("K", bound=PartyKeys)


def is_unfinished(directory: NodeDirectory) -> bool:
    """Say whether an `init` in this directory began to make keys and did not come to its end."""
    return _note(directory).exists() and not directory.is_initialised


def make_keys(directory: NodeDirectory, token: Token, kind: type[K]) -> K:
    """Make a node's keys, those that an attempt before has not made. Raises ConfigError, KeyExists, KeyPolicyViolation."""
    if is_unfinished(directory):
        made = _made_before(directory, token, kind)
    else:
        made = set()
        _require_none(token, kind)
        write_private(_note(directory), json.dumps({"token": token.label, "serial": token.serial}).encode())
    for purpose in kind.purposes:
        if purpose not in made:
            generate(token, purpose, POLICIES[purpose])
    return kind(token)


def finish(directory: NodeDirectory) -> None:
    """Forget the note: the directory has its settings, and is a node."""
    _note(directory).unlink(missing_ok=True)


def _note(directory: NodeDirectory) -> Path:
    return directory.path / "unfinished.json"


def _require_none(token: Token, kind: type[PartyKeys]) -> None:
    there = [purpose for purpose in kind.purposes if token.has(purpose)]
    if there:
        raise KeyExists(
            f"The token holds {', '.join(there)} already, and nothing here says that we made them. --keys-in-token uses what a"
            " ceremony or a restore left."
        )


def _made_before(directory: NodeDirectory, token: Token, kind: type[PartyKeys]) -> set[str]:
    """Give the purposes whose keys are whole, after half a pair is gone."""
    noted = json.loads(_note(directory).read_text(encoding="utf-8"))
    if noted["serial"] != token.serial:
        raise ConfigError(
            f"an init in this directory was cut off after it began to make keys in the token {noted['token']!r}, serial"
            f" {noted['serial']}: go on with that token, or make this node in another directory"
        )
    halves = {finding.label for finding in audit(token.objects()) if finding.reason == "HALF_MISSING"}
    for purpose in halves & set(kind.purposes):
        token.destroy(purpose)
    return {purpose for purpose in kind.purposes if token.has(purpose)}
