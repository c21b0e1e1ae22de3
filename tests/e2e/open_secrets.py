"""Opens one party's token and tells, as JSON, every object in it and everything that the party keeps sealed.

A process of its own for each party, because a process stays with one SoftHSM directory.
"""

import json
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

from federation.hospital.vault import _key_context
from federation.party.node_directory import NodeDirectory, open_node_token
from federation.person.device import unlock
from federation.person.profile import PatientSettings, Profile
from federation.settings import TokenSettings
from federation.store.database import Database
from federation.store.party import Epochs, Settings
from federation.store.records import Records
from federation.v1.statement_pb2 import KeyStatement, SignedStatement
from hsm import ObjectInfo, Token, pin_from_file, pin_from_value
from keystore.keyring import FIRST_GENERATIONS, AgreementPrf, KeyRing, MacPrf, Prf, TokenSealing, system_clock
from keystore.party import _seed_context


def _open(node: NodeDirectory) -> Token:
    table = tomllib.loads(node.settings_file.read_text())
    token = table["token"]
    settings = TokenSettings(token["uri"], Path(token["softhsm_configuration"]))
    if "device" in table:
        patient = node.settings(PatientSettings)
        unlocked = unlock(Profile(node.path), patient.device, node.trust().anchors.realm)
        return open_node_token(settings, pin_from_value(unlocked.pin.reveal()))
    return open_node_token(settings, pin_from_file(Path(token["pin_file"])))


def _sealed(token: Token, database: Database) -> list[str]:
    """Return the plaintext of what the party keeps sealed and that would be a key: ML-KEM seeds, record keys."""
    is_server = token.has("index")
    sealing = _sealing(token, "sealing", is_server=is_server)
    seeds = [sealing.open(e.sealed_seed, _seed_context(e.token_label)) for e in Epochs(database).all()]
    if not token.has("records"):
        return [seed.hex() for seed in seeds]
    wrapping = _sealing(token, "records", is_server=True)
    records = Records(database).all()
    keys = [wrapping.open(r.wrapped_key, _key_context(r.handle, r.version)) for r in records]
    return [secret.hex() for secret in (*seeds, *keys)]


def _sealing(token: Token, purpose: str, *, is_server: bool) -> TokenSealing:
    def open_key(label: str) -> Prf:
        return MacPrf(token.mac(label)) if is_server else AgreementPrf(token.agreement(label))

    return TokenSealing(purpose, KeyRing(purpose, open_key, FIRST_GENERATIONS, system_clock))


def _statement(database: Database) -> dict[str, str]:
    kept = Settings(database).get("key-statement")
    if kept is None:
        return {}
    statement = KeyStatement.FromString(SignedStatement.FromString(kept).statement)
    return {"credential": statement.credential.hex(), "registration_point": statement.registration_point.hex()}


def _shown(entry: ObjectInfo) -> dict[str, object]:
    plain = {name: value for name, value in asdict(entry).items() if not name.startswith("_")}
    return plain | {"usages": sorted(entry.usages), "id": entry.id.hex()}


def main() -> None:
    node = NodeDirectory(Path(sys.argv[1]))
    with _open(node) as token:
        objects = [_shown(entry) for entry in token.objects()]
        told: dict[str, object] = {"objects": objects, "sealed": [], "statement": {}}
        if (node.path / "store.sqlite").exists() and token.has("sealing"):
            with node.database() as database:
                told |= {"sealed": _sealed(token, database), "statement": _statement(database)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
