"""Doctors' and patients' clients: made once in a directory of their own, and opened from it."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import safefiles
from federation.clock import system_clock, system_entropy
from federation.errors import FederationError
from federation.party.audit import Audit
from federation.party.channels import ChannelPool
from federation.party.cloud_client import CloudClient
from federation.party.generations import StoredGenerations
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory, open_node_token, read_trust
from federation.person.broken_records import BROKEN_RECORD
from federation.person.deposits import DEPOSIT
from federation.person.device import Unlocked, create_person, enrol_device, unlock
from federation.person.doctor import DoctorClient
from federation.person.drafts import DRAFT, DraftStore
from federation.person.emergencies import EMERGENCY
from federation.person.errors import ProfileUnusable
from federation.person.hiding import HIDDEN
from federation.person.known_logs import KNOWN_LOG
from federation.person.maintenance import maintain
from federation.person.patient import PatientClient
from federation.person.pending import PENDING
from federation.person.places import PLACES
from federation.person.profile import DeviceSettings, DoctorSettings, PatientSettings, Profile
from federation.person.sealed_files import SealedFiles
from federation.person.trace import Trace, TracedCloud
from federation.person.waiting import WAITING
from federation.protocol.bundle import TrustedBundle
from federation.protocol.identities import require_identity
from federation.settings import TokenSettings
from federation.store.database import Database
from federation.store.log import Log
from federation.store.party import Epochs, Evidence, ReplayMemory, Settings
from federation.wire.channel import dialling_of
from hsm import Pin, PinProvider, Token
from hsm.softhsm import SoftHsm
from keystore.party import IDENTITY, PartyKeys
from keystore.x509 import request_certificate

REQUEST_FILE = "certificate-request.der"


@dataclass(frozen=True)
class Kept:
    """What a client keeps under its token's keys, as a rotation walks over it."""

    book: StoredGenerations
    epochs: Epochs
    evidence: Evidence
    log: Log
    files: Sequence[SealedFiles]


@dataclass(frozen=True)
class OpenDoctor:
    """A doctor's client, open. `client` works once the member is registered; `drafts` are what it has begun to write.

    `refusal` says why the cloud would not have the registration again when that was due.
    """

    member: Member
    cloud: CloudClient
    client: DoctorClient
    drafts: DraftStore
    token: Token
    kept: Kept
    refusal: FederationError | None = None


@dataclass(frozen=True)
class OpenPatient:
    """A patient's client, open and unlocked. `client` works once the member is registered; `refusal` as of a doctor's."""

    member: Member
    cloud: CloudClient
    client: PatientClient
    unlocked: Unlocked
    kept: Kept
    refusal: FederationError | None = None


def make_softhsm_token(node: NodeDirectory, label: str, pin: Pin) -> TokenSettings:
    """Make a software token in the client's directory. The officer's PIN is random and forgotten: nobody resets this token."""
    softhsm = SoftHsm(node.tokens)
    uri = softhsm.create_token(label, pin=pin, so_pin=Pin(secrets.token_urlsafe(24)))
    return TokenSettings(uri=str(uri), softhsm_configuration=softhsm.configuration)


def init_doctor(
    node: NodeDirectory,
    trust: Path,
    identity: str,
    token: TokenSettings | None,
    pin: PinProvider,
    pin_file: Path | None,
) -> Path:
    """Make a doctor's client: keys in its token, a software one unless one is named; return the certificate request's file."""
    require_identity("doctor", identity)
    bundle = _new_node(node, trust)
    settings = token or replace(make_softhsm_token(node, _label(identity), pin()), pin_file=pin_file)
    with open_node_token(settings, pin) as opened:
        keys = PartyKeys.create(opened)
        request = request_certificate(keys.signing_key.x509, identity)
    safefiles.replace(node.path / REQUEST_FILE, request)
    node.write_trust(bundle)
    node.write_settings(DoctorSettings(identity, settings))
    return node.path / REQUEST_FILE


def write_request(node: NodeDirectory, opened: OpenDoctor) -> Path:
    """Write a certificate request for a doctor's newest identity key, active or prepared; return its file. Raises HsmError."""
    keys, newest = opened.member.keys, opened.kept.book.read().of(IDENTITY)[-1].number
    safefiles.replace(
        node.path / REQUEST_FILE, request_certificate(keys.signing_key_of(newest).x509, opened.member.identity)
    )
    return node.path / REQUEST_FILE


def enrol_patient(node: NodeDirectory, trust: Path, identity: str, sensor: Path) -> bool:
    """Make a patient's client: device secret, helper data, and a software token under the derived PIN.

    Say whether the file that stands for the person was made, too. Raises ProfileUnusable, ConfigError.
    """
    require_identity("patient", identity)
    bundle = _new_node(node, trust)
    made = create_person(sensor, system_entropy)
    device = DeviceSettings(sensor)
    unlocked = enrol_device(Profile(node.path), device, bundle.anchors.realm, system_entropy)
    token = make_softhsm_token(node, _label(identity), unlocked.pin)
    with open_node_token(token, lambda: unlocked.pin) as opened:
        PartyKeys.create(opened)
    node.write_trust(bundle)
    node.write_settings(PatientSettings(identity, token, device))
    return made


@contextmanager
def open_doctor(
    node: NodeDirectory, pin: PinProvider | None, trace: TextIO | None = None, *, dial_only: Sequence[str] = ()
) -> Iterator[OpenDoctor]:
    """Open a doctor's client; `dial_only` are networks that take the settings' place.

    Raises ConfigError, ProfileUnusable, HsmError, StoreError.
    """
    settings = node.settings(DoctorSettings)
    require_identity("doctor", settings.identity)
    with ExitStack() as stack:
        token = stack.enter_context(open_node_token(settings.token, pin))
        parts = _Parts(stack, node, settings, token, trace, dial_only)
        certificate = parts.member.certificate
        refusal = maintain(parts.member, parts.cloud, certificate, certificate=certificate)
        client = DoctorClient(
            parts.member,
            parts.cloud,
            parts.channels.get,
            ReplayMemory(parts.database),
            Evidence(parts.database),
            Audit(Log(parts.database), parts.member.sealing, where=parts.member.identity),
            Profile(node.path),
            parts.trace,
            clock=system_clock,
            entropy=system_entropy,
        )
        drafts = DraftStore(Profile(node.path).drafts, parts.member)
        yield OpenDoctor(parts.member, parts.cloud, client, drafts, token, parts.kept, refusal)


@contextmanager
def open_patient(
    node: NodeDirectory, sensor: Path | None = None, trace: TextIO | None = None, *, dial_only: Sequence[str] = ()
) -> Iterator[OpenPatient]:
    """Take a reading, unlock with it and open a patient's client. `sensor` stands for whoever holds the device now.

    `dial_only` as for a doctor's. Raises BiometricMismatch for a stranger, ConfigError, ProfileUnusable, HsmError, StoreError.
    """
    settings = node.settings(PatientSettings)
    require_identity("patient", settings.identity)
    device = settings.device if sensor is None else replace(settings.device, simulated_sensor=sensor)
    profile = Profile(node.path)
    unlocked = unlock(profile, device, node.trust().anchors.realm)
    with ExitStack() as stack:
        token = stack.enter_context(open_node_token(settings.token, lambda: unlocked.pin))
        parts = _Parts(stack, node, settings, token, trace, dial_only)
        refusal = maintain(parts.member, parts.cloud, unlocked.password.value)
        client = PatientClient(
            parts.member,
            parts.cloud,
            parts.channels.get,
            Evidence(parts.database),
            profile,
            unlocked.password,
            parts.trace,
            clock=system_clock,
            entropy=system_entropy,
        )
        if parts.member.is_registered and client.acts.waiting():
            with suppress(FederationError):
                client.refresh()
        yield OpenPatient(parts.member, parts.cloud, client, unlocked, parts.kept, refusal)


class _Parts:
    """What doctors' and patients' clients have in common, closed with the stack."""

    def __init__(
        self,
        stack: ExitStack,
        node: NodeDirectory,
        client: DoctorSettings | PatientSettings,
        token: Token,
        trace: TextIO | None,
        dial_only: Sequence[str],
    ) -> None:
        identity, protocol = client.identity, client.protocol
        networks = tuple(dial_only) or client.dialling.networks
        dialling = dialling_of(replace(client.dialling, networks=networks))
        self.database: Database = stack.enter_context(node.database())
        self.trace = Trace(trace, system_clock)
        settings, epochs = Settings(self.database), Epochs(self.database)
        self.book = StoredGenerations(settings)
        self.member = Member(
            identity,
            PartyKeys(token, self.book),
            settings,
            epochs,
            node.trust(),
            protocol.freshness,
            protocol.lifetimes,
            grace=client.revocation.grace,
        )
        trust = self.member.trust.newest
        self.cloud: CloudClient = stack.enter_context(TracedCloud(trust, identity, self.trace, dialling=dialling))
        self.member.lists.ask_of(self.cloud.shards)
        self.channels = ChannelPool(trust, dialling=dialling)
        stack.callback(self.channels.close)
        self.kept = Kept(
            book=self.book,
            epochs=epochs,
            evidence=Evidence(self.database),
            log=Log(self.database),
            files=[SealedFiles(directory, self.member, kind) for kind, directory in _sealed_files(Profile(node.path))],
        )


def _new_node(node: NodeDirectory, trust: Path) -> TrustedBundle:
    """Require that nobody lives in the directory, and that the trust bundle holds, before anything is made."""
    if node.is_initialised:
        raise ProfileUnusable(f"There is a client in {node.path} already.")
    bundle = read_trust(trust)
    node.create()
    return bundle


def _sealed_files(profile: Profile) -> Iterator[tuple[str, Path]]:
    yield PENDING, profile.pending
    yield DEPOSIT, profile.deposits
    yield EMERGENCY, profile.emergencies
    yield DRAFT, profile.drafts
    yield KNOWN_LOG, profile.known_logs
    yield PLACES, profile.places
    yield HIDDEN, profile.hidden
    yield WAITING, profile.waiting
    yield BROKEN_RECORD, profile.broken


def _label(identity: str) -> str:
    """Return a token's label: at most 32 bytes."""
    return identity[2:][:32]
