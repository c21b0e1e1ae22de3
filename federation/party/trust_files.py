"""Trust bundles that come by a file in place of the network: all that a federation signed, and a member taking them.

A member that was away while the TLS CA changed can't dial the public cloud any more. It needs no new pin: the bundles between
are each signed by a key that the one before names, from the one that it holds, and so may come from anywhere.
"""

from collections.abc import Sequence
from pathlib import Path

from google.protobuf import json_format

from federation.party.node_directory import NodeDirectory, read_trust
from federation.party.trust import TrustKeeper
from federation.protocol.bundle import TrustedBundle, sequence_of
from federation.settings import CloudSettings, ConfigError, DatabaseSettings, HospitalSettings
from federation.store.directory import TrustChain
from federation.store.party import Settings
from federation.v1.directory_pb2 import GetTrustBundlesResponse
from federation.v1.statement_pb2 import SignedStatement

MOST_BUNDLES = 10_000
MOST_BYTES = 64 * 1024 * 1024


def chain_of(cloud: NodeDirectory) -> Sequence[SignedStatement]:
    """Give every bundle that a public cloud signed, oldest first. Needs no token. Raises ConfigError, StoreError."""
    with cloud.database(cloud.settings(CloudSettings).database) as database:
        kept = TrustChain(database).after(0, limit=MOST_BUNDLES)
    return [SignedStatement(statement=one.statement, signature=one.signature) for _, one in kept]


def chain_to_json(chain: Sequence[SignedStatement]) -> str:
    """Give the form of a chain's file: the answer to GetTrustBundles as JSON."""
    response = GetTrustBundlesResponse(trust_bundles=chain)
    return json_format.MessageToJson(response, preserving_proto_field_name=True) + "\n"


def read_chain(path: Path) -> Sequence[SignedStatement]:
    """Read a chain, oldest first, or a single `trust.json`. Raises ConfigError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} is too large for trust bundles")
        content = path.read_text(encoding="utf-8")
        chain = list(json_format.Parse(content, GetTrustBundlesResponse()).trust_bundles)
        if not chain:
            raise ConfigError(f"{path} holds no trust bundle")
        return sorted(chain, key=sequence_of)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (json_format.ParseError, ValueError, RecursionError):
        return [read_trust(path).signed]


def update_trust(member: NodeDirectory, chain: Sequence[SignedStatement]) -> tuple[TrustedBundle, TrustedBundle]:
    """Follow a chain from the bundle that a member holds; give the one it held and the one that holds now.

    Its servers take it within a second. Raises what `federation.protocol.bundle.follow` finds wrong, ConfigError, StoreError.
    """
    with member.database(_database_settings(member)) as database:
        keeper = TrustKeeper(Settings(database), member.trust())
        before = keeper.newest()
        return before, keeper.take(chain[-1], lambda after: [it for it in chain if sequence_of(it) > after])


def _database_settings(member: NodeDirectory) -> DatabaseSettings:
    """Whoever's directory it is: clients keep their store where it is always."""
    if member.letter in {"D", "P"}:
        return DatabaseSettings()
    return member.settings(HospitalSettings).database
