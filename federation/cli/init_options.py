"""Options that the commands which make a node share: who it is, where, and how its keys come into its token."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from federation.cli.ceremony import pinned
from federation.cli.common import TOKEN_URI_FILE, TokenChoice, gather_options, write_pin_unless_there
from federation.cloud.node import DEPARTMENT_CLASSES, Founding
from federation.party.ceremony_keys import CeremonyKeys, read_ceremony
from federation.party.node_directory import NodeDirectory, read_trust, require_digest, write_private
from federation.protocol.bundle import TrustedBundle
from federation.settings import HospitalSettings, TokenSettings
from hsm import Pin, pin_from_file
from hsm.softhsm import SoftHsm

F = TypeVar("F", bound=Callable[..., Any])

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


def founding_options(command: F) -> F:
    """Add what the founder of a federation decides, as a Founding named `founding`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        address, peer_address = values.pop("address"), values.pop("peer_address")
        founding = Founding(
            identity=values.pop("identity"),
            realm=values.pop("realm"),
            address=address,
            peer_address=peer_address,
            public_listen=values.pop("listen") or address,
            peer_listen=values.pop("peer_listen") or peer_address,
            department_classes=values.pop("classes") or DEPARTMENT_CLASSES,
        )
        return {"founding": founding}

    return gather_options(command, gather, _FOUNDING)


_FOUNDING = (
    click.option("--identity", required=True, help="ID_C, such as C:union."),
    click.option("--realm", required=True, help="The federation's name."),
    click.option("--address", required=True, help="host:port where everybody dials this cloud."),
    click.option("--peer-address", required=True, help="host:port where hospitals dial it by mutual TLS."),
    click.option("--listen", help="host:port to listen at, if not --address."),
    click.option("--peer-listen", help="host:port to listen at for hospitals, if not --peer-address."),
    click.option("--department-class", "classes", multiple=True, help="A class of the published list; repeat."),
)


@dataclass(frozen=True)
class HospitalPlan:
    """What a hospital is to be."""

    identity: str
    trust: Path
    trust_digest: str | None
    listen: str
    address: str | None
    departments: tuple[str, ...]

    def bundle(self) -> TrustedBundle:
        """Read the trust bundle, and require the digest that was given. Raises ConfigError, BundleUnpinned."""
        bundle = read_trust(self.trust)
        if self.trust_digest is not None:
            require_digest(bundle, self.trust_digest)
        return bundle

    def settings(self, token: TokenSettings, bundle: TrustedBundle) -> HospitalSettings:
        """Give its settings; without departments of its own it has one of every class."""
        departments = self.departments or tuple(sorted(bundle.anchors.department_classes))
        return HospitalSettings(self.identity, self.listen, self.address or self.listen, token, departments)


def hospital_options(command: F) -> F:
    """Add what a hospital is to be, as a HospitalPlan named `plan`."""
    names = "identity", "trust", "trust_digest", "listen", "address", "departments"
    return gather_options(
        command, lambda values: {"plan": HospitalPlan(**{name: values.pop(name) for name in names})}, _HOSPITAL
    )


_HOSPITAL = (
    click.option("--identity", required=True, help="The hospital's id, H:name."),
    click.option("--trust", type=EXISTING, required=True, help="The federation's trust.json."),
    click.option(
        "--trust-digest",
        metavar="HEX",
        help="Digest of trust.json, that its giver told by another way; spaces don't matter.",
    ),
    click.option("--listen", required=True, help="host:port to listen at; port 0 lets the system choose."),
    click.option("--address", help="host:port where others dial this hospital; by default what it listens at."),
    click.option("--department", "departments", multiple=True, help="A class or class.local; by default every class."),
)


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
        """Say whether the keys are in the token already."""
        return self.in_token or self.ceremony is not None

    def held(self, kind: str) -> CeremonyKeys | None:
        """Read the ceremony's transcript, if one is given. Raises TranscriptInvalid, ImportRefused."""
        if self.ceremony is None:
            return None
        return read_ceremony(self.ceremony.read_bytes(), kind, dict(map(pinned, self.participants)))


def keys_options(command: F) -> F:
    """Add how the keys come into the token, as a KeysChoice named `keys`."""
    names = {"make": "make_keys", "in_token": "keys_in_token", "development": "development_token"}
    names |= {"ceremony": "ceremony", "participants": "participants"}
    return gather_options(
        command,
        lambda values: {"keys": KeysChoice(**{field: values.pop(name) for field, name in names.items()})},
        _KEYS,
    )


_KEYS = (
    click.option(
        "--development-token", is_flag=True, help="Make a SoftHSM token in the directory, for trials, and keys in it."
    ),
    click.option("--make-keys", is_flag=True, help="Make the keys in --token now, before no witness."),
    click.option("--keys-in-token", is_flag=True, help="Use the keys that --token holds, as a restore left them."),
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
    """Give the token that a node is to use, and the choice by which its PIN is had; a development token is made if there is none.

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


def make_development_token(directory: NodeDirectory, label: str, pin_file: Path) -> str:
    """Make a SoftHSM token in a node's directory, note its URI there, and give it. A random PIN is written if there is none."""
    directory.create()
    write_pin_unless_there(pin_file)
    pin = pin_from_file(pin_file)()
    uri = str(SoftHsm(directory.tokens).create_token(label, pin=pin, so_pin=Pin(secrets.token_urlsafe(24))))
    write_private(directory.tokens / TOKEN_URI_FILE, f"{uri}\n".encode())
    return uri
