"""`init` of a public cloud and of a hospital: lead an operator from nothing to a node that can serve, and say what is left to do.

Each step is left out if it is done already, so that whatever was cut off, or failed, goes on when the command is typed again.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cli.ceremony import pinned
from federation.cli.groups import Command
from federation.cli.hospital import HospitalPlan, hospital_options
from federation.cli.next_steps import Typing, left_for_cloud, left_for_hospital, tell
from federation.cli.options import (
    EXISTING,
    TOKEN_URI_FILE,
    F,
    TokenChoice,
    blobs_option,
    database_options,
    directory_option,
    gather_options,
    make_development_token,
    pin_credential_option,
    tell_unfinished,
    token_options,
)
from federation.cli.public_cloud import founding_options
from federation.cli.typed_again import require_as_founded, require_as_made
from federation.cloud.node import Founding, PublicCloudNode, found, open_public_cloud
from federation.hospital.node import HospitalNode, init_hospital
from federation.party.certificates import authority_id_of, read_certificate, read_crl
from federation.party.key_provisioning import CLOUD_ROOT, HOSPITAL_ENROLMENT, CeremonyKeys, read_ceremony
from federation.party.node_directory import NodeDirectory
from federation.party.registration import parse_ticket
from federation.party.tokens import CONSEQUENCES, missing_for, token_settings_of, try_token
from federation.protocol.authorities import scopes_of
from federation.settings import (
    BlobSettings,
    ConfigError,
    DatabaseSettings,
    TokenSettings,
)
from federation.store.errors import AlreadyStored
from hsm import PinProvider, Token, pin_from_value
from keystore.party import CloudKeys, HospitalKeys

K = TypeVar("K")


@dataclass(frozen=True)
class KeysChoice:
    """How the keys of a new node come into its token."""

    make: bool
    in_token: bool
    ceremony: Path | None
    participants: tuple[str, ...]
    development: bool

    def require_one(self, ceremony_kind: str) -> None:
        """Require that the operator has decided. Raises UsageError."""
        if self.make + self.in_token + (self.ceremony is not None) > 1:
            raise click.UsageError("Give one of --make-keys, --keys-in-token and --ceremony.")
        if self.participants and self.ceremony is None:
            raise click.UsageError("--participant goes with --ceremony.")
        if not (self.make or self.in_token or self.ceremony or self.development):
            raise click.UsageError(
                "How do the keys come into this token? One of: --ceremony TRANSCRIPT, of a ceremony of the kind"
                f" {ceremony_kind} (docs/ceremonies; `medunion ceremony run FILE` holds it); --keys-in-token, which takes what"
                " a restore left; --make-keys, which makes them now, before no witness."
            )

    @property
    def are_there(self) -> bool:
        """Return whether the keys are in the token already."""
        return self.in_token or self.ceremony is not None

    def held(self, kind: str) -> CeremonyKeys | None:
        """Read the ceremony's transcript, if one is given. Raises TranscriptInvalid, ImportRefused."""
        if self.ceremony is None:
            return None
        return read_ceremony(self.ceremony.read_bytes(), kind, dict(map(pinned, self.participants)))


def keys_options(command: F) -> F:
    """Add how the keys come into the token, as a KeysChoice named `keys`."""
    names = "make", "in_token", "ceremony", "participants", "development"
    return gather_options(
        command, lambda values: {"keys": KeysChoice(**{name: values.pop(name) for name in names})}, _KEYS
    )


_KEYS = (
    click.option(
        "--development-token",
        "development",
        is_flag=True,
        help="Make a SoftHSM token in the directory, for trials, and keys in it.",
    ),
    click.option("--make-keys", "make", is_flag=True, help="Make the keys in --token now, before no witness."),
    click.option(
        "--keys-in-token", "in_token", is_flag=True, help="Use the keys that --token holds, as a restore left them."
    ),
    click.option("--ceremony", type=EXISTING, help="Use the keys of the ceremony with this transcript, after a check."),
    click.option(
        "--participant",
        "participants",
        multiple=True,
        metavar="NAME=KEY",
        help="Public key of a participant of the ceremony that you know; repeat.",
    ),
)


def token_of(
    directory: NodeDirectory, choice: TokenChoice, keys: KeysChoice, label: str
) -> tuple[TokenSettings, TokenChoice]:
    """Return the token that a node is to use, and the choice by which its PIN is had; make a development token if need be.

    Raises ConfigError, UsageError, HsmError.
    """
    if not keys.development:
        return choice.settings(directory), choice
    if choice.uri is not None:
        raise click.UsageError("Give --token or --development-token.")
    pin_file = (choice.pin.pin_file or directory.path / "pin").resolve()
    chosen = replace(choice, pin=replace(choice.pin, pin_file=pin_file))
    if not (directory.tokens / TOKEN_URI_FILE).exists():
        make_development_token(directory, f"{label[:20]}-{secrets.token_hex(3)}", pin_file)
    return chosen.settings(directory), chosen


@click.command("init", cls=Command)
@directory_option
@founding_options
@keys_options
@click.option(
    "--tls-ca-certificate", type=EXISTING, help="The TLS CA's certificate, where --keys-in-token has its key."
)
@click.option(
    "--authority",
    "authorities",
    type=(EXISTING, str),
    multiple=True,
    metavar="CERTIFICATE DOCTORS",
    help="Certificate of a medical authority, and whom it certifies: IDs or beginnings like 'D:alpha.*', with commas between;"
    " 'D:*' is every doctor; repeat.",
)
@click.option("--crl", "crls", type=EXISTING, multiple=True, help="An authority's newest list; repeat.")
@database_options
@token_options
@pin_credential_option
def init_of_cloud(
    directory: NodeDirectory,
    founding: Founding,
    keys: KeysChoice,
    tls_ca_certificate: Path | None,
    authorities: tuple[tuple[Path, str], ...],
    crls: tuple[Path, ...],
    database: DatabaseSettings,
    token: TokenChoice,
    pin_credential: str | None,
) -> None:
    """Found a federation: token, keys, TLS CA, database, trust bundle, settings; then medical authorities, if they are given.

    What is done already is left out: type it again to go on where it was cut off.
    """
    keys.require_one(CLOUD_ROOT)
    if tls_ca_certificate is not None and not keys.in_token:
        raise click.UsageError("--tls-ca-certificate goes with --keys-in-token.")
    recognised = [(read_certificate(path), scopes_of(doctors.split(","))) for path, doctors in authorities]
    lists = [(path, read_crl(path)) for path in crls]
    held, made = keys.held(CLOUD_ROOT), directory.is_initialised
    if made:
        require_as_founded(directory, founding, database, token.uri, pin_credential)
    settings, pin, typing = _token(directory, token, keys, founding.identity, "public-cloud", pin_credential)
    if not made:
        tls_ca = read_certificate(tls_ca_certificate) if tls_ca_certificate else held.tls_ca if held else None
        tell_unfinished(directory)
        whole = replace(founding, tls_ca=tls_ca, database=database)
        found(directory, whole, settings, pin, _keys_of(keys, held, CloudKeys))
        if keys.in_token and tls_ca is None:
            click.echo(
                "The TLS CA has a NEW certificate, for the key in the token: the ceremony's is not in the bundle."
            )
    _done(f"{founding.identity} is founded; its settings are in {directory.settings_file}.")
    with open_public_cloud(directory, pin) as node:
        _recognise(node, recognised, lists)
        tell(left_for_cloud(node, typing))
    _warn_of(keys)


def _recognise(
    node: PublicCloudNode,
    authorities: Iterable[tuple[x509.Certificate, tuple[str, ...]]],
    crls: Iterable[tuple[Path, x509.CertificateRevocationList]],
) -> None:
    for certificate, doctor_ids in authorities:
        der = certificate.public_bytes(Encoding.DER)
        if (der, doctor_ids) not in {(it.certificate, it.doctor_ids) for it in node.authorities()}:
            node.add_authority(certificate, doctor_ids)
        _done(f"{authority_id_of(certificate)} is recognised.")
    for path, crl in crls:
        try:
            authority_id, number = node.put_crl(crl)
            _done(f"List {number} of {authority_id} is taken.")
        except AlreadyStored:
            _done(f"The list in {path} is taken, or a newer one.")


@click.command("init", cls=Command)
@directory_option
@hospital_options
@keys_options
@click.option("--licence", type=EXISTING, help="The hospital's licence: with a ticket, it registers at once.")
@click.option(
    "--ticket-file", type=click.File("r"), help="File with the ticket of the cloud's operator; - for standard input."
)
@database_options
@blobs_option
@token_options
@pin_credential_option
def init_of_hospital(
    directory: NodeDirectory,
    plan: HospitalPlan,
    keys: KeysChoice,
    licence: Path | None,
    ticket_file: TextIO | None,
    database: DatabaseSettings,
    blobs: BlobSettings,
    token: TokenChoice,
    pin_credential: str | None,
) -> None:
    """Make a hospital: token, keys, database, settings; then register it with the public cloud, if a ticket is given.

    What is done already is left out: type it again to go on where it was cut off.
    """
    keys.require_one(HOSPITAL_ENROLMENT)
    if (licence is None) != (ticket_file is None):
        raise click.UsageError("--licence and --ticket-file go together.")
    ticket = ticket_file.read() if ticket_file is not None else ""
    bundle, held, made = plan.bundle(), keys.held(HOSPITAL_ENROLMENT), directory.is_initialised
    if ticket_file is not None and not made:
        parse_ticket(ticket)  # before any key is made; a hospital that is registered needs none
    if made:
        require_as_made(directory, plan, database, blobs, token.uri, pin_credential)
    settings, pin, typing = _token(directory, token, keys, plan.identity, "hospital", pin_credential)
    if not made:
        whole = replace(plan.settings(settings, bundle), database=database, blobs=blobs)
        tell_unfinished(directory)
        init_hospital(directory, whole, bundle, pin, _keys_of(keys, held, HospitalKeys))
    _done(f"{plan.identity} is made; its settings are in {directory.settings_file}.")
    with HospitalNode(directory, pin) as node:
        if licence is not None:
            _register(node, licence, ticket)
        tell(left_for_hospital(node, typing))
    _warn_of(keys)
    if plan.trust_digest is None:
        click.echo(f"Nobody compared the trust bundle's digest yet: ask for it by another way. {bundle.digest.hex()}")


def _register(node: HospitalNode, licence: Path, ticket: str) -> None:
    node.register(licence.read_bytes(), b"" if node.member.is_registered else parse_ticket(ticket))
    _done(f"{node.settings.identity} is registered, and its TLS identity is certified.")


def _token(
    directory: NodeDirectory, choice: TokenChoice, keys: KeysChoice, identity: str, role: str, credential: str | None
) -> tuple[TokenSettings, PinProvider, Typing]:
    """Return the token, tried; its PIN, which is asked for once; and how commands are typed for it.

    A node that is made has the token of its settings.
    """
    if directory.is_initialised:
        settings, chosen = token_settings_of(directory), choice
    else:
        settings, chosen = token_of(directory, choice, keys, identity.partition(":")[2] or identity)
        if credential is not None:
            settings = replace(settings, pin_file=None, pin_credential=credential)
    pin = pin_from_value(chosen.pin.provider(settings)().reveal())
    require_able(role, settings, pin)
    _done(f"The token can do what a {role} needs: {settings.uri}")
    pin_file = chosen.pin.pin_file.resolve() if chosen.pin.pin_file else None
    return settings, pin, Typing.of(directory.path, settings, pin_file)


def _keys_of(keys: KeysChoice, held: CeremonyKeys | None, kind: Callable[[Token], K]) -> Callable[[Token], K] | None:
    """Return what opens the keys that are in the token already, held against the ceremony; None if they are to be made."""
    if not keys.are_there:
        return None

    def opened(token: Token) -> K:
        if held is not None:
            held.require_in(token)
        return kind(token)

    return opened


def _done(words: str) -> None:
    click.echo(f"done  {words}")


def _warn_of(keys: KeysChoice) -> None:
    if keys.development:
        click.echo("This is a development token: its keys are files of this machine. Real patients need a real token.")
    elif keys.make:
        click.echo(
            "The keys were made before no witness; docs/ceremonies says how a federation makes keys that others trust."
        )


def require_able(role: str, settings: TokenSettings, pin: PinProvider) -> None:
    """Require a token that can do what a role needs, by trying it. Raises ConfigError, which says what is missing; HsmError."""
    missing = missing_for(role, try_token(settings, pin))
    if missing:
        lacks = "; ".join(f"{it.ability.value}: {CONSEQUENCES[it.ability]}" for it in missing)
        raise ConfigError(f"token.uri: this token can't do what a {role} needs. It lacks {lacks}")
