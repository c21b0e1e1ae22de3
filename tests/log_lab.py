"""Servers with logs, each over TLS on loopback, that witness one another: the federation's cloud and five hospitals.

Of a server there is here what its log needs: its keys in a SoftHSM token, its store, LogService behind the call guard.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.party.log_follower import Cosigning, Following
from federation.party.log_heads import OwnLog
from federation.party.log_peers import DialledPeers
from federation.party.log_rpc import LogDesk, LogServicer
from federation.party.member import Member
from federation.party.witness import Witness
from federation.protocol.bundle import TrustedBundle, issue
from federation.protocol.merkle import leaf_hash
from federation.settings import ServerSettings
from federation.store.database import Database
from federation.store.followed import FollowedLogs
from federation.store.log import Log
from federation.store.log_heads import LogHeads
from federation.store.party import Settings
from federation.store.rows import SealedEntry
from federation.store.time_stamps import TimeStamps
from federation.store.witnessed import LogFinding, LogFindings, Witnessed
from federation.v1.log_pb2_grpc import add_LogServiceServicer_to_server
from federation.wire.call_guard import CallGuard
from federation.wire.channel import ANYWHERE
from federation.wire.server import LeafRotation, build_server
from federation.wire.workers import Workers
from keystore import x509 as issuing
from keystore.party import HospitalKeys
from tests.policies import asking, stated
from tests.serving import Serving, running
from tests.simulator import Federation
from tests.sqlite_stores import new_database

CLOUD = "C:union"
HOSPITALS = ("H:alpha", "H:beta", "H:gamma", "H:delta", "H:epsilon")
NODES = (CLOUD, *HOSPITALS)


@dataclass
class LogNode:
    """One server: its log and its witness, in a database of its own, and how it reaches the others."""

    identity: str
    federation: Federation
    member: Member | None
    peers: DialledPeers
    own: OwnLog = field(init=False)
    witness: Witness = field(init=False)
    witnesses: Sequence[str] = ()

    def __post_init__(self) -> None:
        database = new_database()
        self.own = self.log_in(database)
        clock = lambda: self.federation.clock.now  # noqa: E731
        self.witness = Witness(
            self.identity,
            self.verifier,
            self.own.signing_key,
            Witnessed(database),
            LogFindings(database),
            FollowedLogs(database),
            clock,
        )

    def verifier(self):
        """The lists of now, as the public cloud or as a member."""
        return self.federation.hospital_a.verifier() if self.member is None else self.member.verifier()

    def log_in(self, database: Database) -> OwnLog:
        """A log of this node in a database: another is another past."""
        member, cloud = self.member, self.federation.cloud
        return OwnLog(
            identity=self.identity,
            anchors=lambda: cloud.anchors,
            log=Log(database),
            heads=LogHeads(database),
            stamps=TimeStamps(database),
            settings=Settings(database),
            signing_key=lambda _: cloud.keys.signing_key if member is None else member.signing_key,
            key_statement=lambda: None if member is None else member.key_statement,
            clock=lambda: self.federation.clock.now,
        )

    def forget(self) -> None:
        """Begin with an empty database."""
        self.__post_init__()

    def write(self, *entries: str, into: OwnLog | None = None) -> None:
        """Log these, in their order."""
        for number, text in enumerate(entries):
            own = into or self.own
            at = self.federation.clock.now + number
            entry_id = leaf_hash(f"{own.log.size()} {number} {text}".encode())[:16]
            own.log.append(SealedEntry(at, b"sealed", entry_id, leaf_hash(text.encode())))
            own.log.sequence()

    def another(self, *entries: str) -> OwnLog:
        """Another past of this log, signed by the same key."""
        other = self.log_in(new_database())
        self.write(*entries, into=other)
        return other

    def cosigning(self, *witnesses: str, own: OwnLog | None = None, cosignatures: int = 1) -> Cosigning:
        """Have the log, or another past of it, cosigned by these, of whom so many have to."""
        anchors = asking(self.federation.cloud.anchors, stated(cosignatures))
        cosigned = replace(own or self.own, anchors=lambda: anchors)
        return Cosigning(cosigned, self.witness, self.peers, lambda: witnesses)

    def following(self, *followed: str, asked: Sequence[str] = ()) -> Following:
        """Look at these logs, and ask others about them."""
        return Following(self.witness, self.peers, lambda: followed, lambda: asked)

    @property
    def findings(self) -> Sequence[LogFinding]:
        """What this node has found."""
        return self.witness.findings.all()

    @property
    def found(self) -> list[tuple[str, str]]:
        """Of which log this node has found what."""
        return [(it.node_id, it.kind) for it in self.findings]


class _Shown:
    """The desk of a node as it is at each call: a test may put another log in its place, or show that alone."""

    def __init__(self, node: LogNode, own: OwnLog | None = None) -> None:
        self._node = node
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(LogDesk(self._own or self._node.own, self._node.witness), name)


@dataclass
class LogLab:
    """The servers by their names."""

    federation: Federation
    nodes: dict[str, LogNode]
    serve: Callable[..., AbstractContextManager[str]]
    peers_of: Callable[..., DialledPeers]

    @contextmanager
    def misled(self, identity: str, own: OwnLog, *misled: str) -> Iterator[None]:
        """Serve another past of a node's log at a second address for a block, where these nodes dial it."""
        with ExitStack() as closing:
            second = closing.enter_context(self.serve(self[identity], own))
            for node in map(self.__getitem__, misled):
                before, node.peers = node.peers, self.peers_of({identity: second})
                closing.callback(node.peers.close)
                closing.callback(setattr, node, "peers", before)
            yield

    def __getitem__(self, identity: str) -> LogNode:
        return self.nodes[identity]

    def others(self, identity: str) -> list[str]:
        """Return every node but this one, in their order."""
        return [it for it in NODES if it != identity]

    def forget(self) -> None:
        """Let every node begin with an empty database."""
        for node in self.nodes.values():
            node.forget()


@contextmanager
def log_lab(federation: Federation) -> Iterator[LogLab]:
    """Serve the logs of a cloud and five hospitals for a block."""
    now, cloud = datetime.now(UTC), federation.cloud.keys
    members = {it.identity: it for it in federation.members if it.identity.startswith("H:")}
    members |= {it: federation.new_hospital(it) for it in HOSPITALS if it not in members}
    federation.refresh(*members.values())
    root = issuing.create_tls_ca(cloud.tls_ca_key, "test", now=now)
    addresses: dict[str, str] = {}

    def trusted(cloud_address: str) -> TrustedBundle:
        content = federation.cloud.bundle_content()
        content.tls_ca_certificates[:] = [root.public_bytes(Encoding.DER)]
        content.cloud_address = cloud_address
        content.sequence = 1
        return issue(content, cloud.signing_key)

    def peers_of(others: Mapping[str, str] = MappingProxyType({})) -> DialledPeers:
        """Dial nodes where they serve, or elsewhere."""
        bundle = cache(lambda: trusted(others.get(CLOUD, addresses[CLOUD])))
        return DialledPeers(bundle, lambda peer, _: others.get(peer, addresses.get(peer)), ANYWHERE)

    def serve(node: LogNode, own: OwnLog | None = None) -> AbstractContextManager[str]:
        return _served(_Shown(node, own), _leaf(node, root, federation), root.public_bytes(Encoding.PEM))

    with ExitStack() as closing:
        nodes = {}
        for identity in NODES:
            peers = peers_of()
            closing.callback(peers.close)
            node = nodes[identity] = LogNode(identity, federation, members.get(identity), peers)
            addresses[identity] = closing.enter_context(serve(node))
        yield LogLab(federation, nodes, serve, peers_of)


def _leaf(node: LogNode, root: x509.Certificate, federation: Federation) -> LeafRotation:
    ca_key = federation.cloud.keys.tls_ca_key
    if node.member is None:
        return LeafRotation(lambda at: issuing.issue_leaf(root, ca_key, node.identity, now=at))
    keys = node.member.keys
    assert isinstance(keys, HospitalKeys)
    request = issuing.request_certificate(keys.tls_ca_key, node.identity)
    ca = issuing.issue_identity_ca(root, ca_key, request, node.identity, now=datetime.now(UTC))
    return LeafRotation(lambda at: issuing.issue_leaf(ca, keys.tls_ca_key, node.identity, now=at))


@contextmanager
def _served(shown: _Shown, leaf: LeafRotation, root_pem: bytes) -> Iterator[str]:
    """Serve a node's log in a thread with an event loop of its own; give its address."""
    settings = replace(ServerSettings(), openers_per_second=10_000.0, openers_burst=10_000)

    def build(workers: Workers) -> Serving:
        guard = CallGuard.of(settings, lambda _: None, workers, None)
        server = build_server(
            "127.0.0.1:0", leaf, root_pem, require_client_certificate=False, interceptors=[guard], settings=settings
        )
        add_LogServiceServicer_to_server(LogServicer(cast("LogDesk", shown), workers), server.grpc)

        async def stop(grace: timedelta) -> None:
            await server.stop(grace)
            await guard.settle()

        return server, stop

    with running(build, threads=2) as port:
        yield f"127.0.0.1:{port}"
