"""What `medunion init` finds out on its way: will the token do, what has been done already, and what is left to do."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from federation.cloud.node import PublicCloudNode
from federation.hospital.node import HospitalNode
from federation.party.node_directory import NodeDirectory
from federation.party.tokens import CONSEQUENCES, missing_for, try_token
from federation.settings import ConfigError, TokenSettings
from hsm import PinProvider


@dataclass(frozen=True)
class Task:
    """Something that is left to do: what, and the command where there is one."""

    says: str
    command: str = ""


def require_able(role: str, settings: TokenSettings, pin: PinProvider) -> None:
    """Require a token that can do what a role needs, by trying it. Raises ConfigError, which says what is missing; HsmError."""
    missing = missing_for(role, try_token(settings, pin))
    if missing:
        lacks = "; ".join(f"{it.ability.value}: {CONSEQUENCES[it.ability]}" for it in missing)
        raise ConfigError(f"token.uri: this token can't do what a {role} needs. It lacks {lacks}")


def require_same_identity(directory: NodeDirectory, kept: str, identity: str) -> None:
    """Require that the node of a directory is the one that is named. Raises ConfigError."""
    if kept != identity:
        raise ConfigError(f"{directory.settings_file} is {kept}'s: {identity} needs a directory of its own")


def left_for_cloud(node: PublicCloudNode) -> Iterator[Task]:
    """Say what a public cloud's operator has to do yet, in order."""
    directory = node.directory.path
    authorities = node.authorities()
    if not authorities:
        yield Task(
            "Recognise a medical authority: without one, no doctor can register.",
            command("public-cloud authority add", directory, "CERTIFICATE", "DOCTORS"),
        )
    for it in authorities:
        if not it.crl:
            yield Task(
                f"Take the first list of {it.authority_id}: until then its doctors are refused.",
                command("public-cloud crl", directory, "LIST"),
            )
    yield from _then_serve("public-cloud", directory)
    bundle = node.trust()
    yield Task(
        f"Give {node.directory.trust_file} to everybody, and its digest by another way: {bundle.digest.hex()}",
        f"medunion trust show {shlex.quote(str(node.directory.trust_file))}",
    )
    yield Task(
        "Make a ticket for each hospital; its operator needs it, and the digest above.",
        command("public-cloud invite", directory, "H:NAME"),
    )


def left_for_hospital(node: HospitalNode) -> Iterator[Task]:
    """Say what a hospital's operator has to do yet, in order."""
    directory, bundle = node.directory.path, node.bundle
    if not node.member.is_registered:
        yield Task(
            f"Ask the operator of {bundle.content.cloud_id} for a ticket for {node.settings.identity}: at the cloud,",
            f"medunion public-cloud invite --directory DIRECTORY {node.settings.identity}",
        )
    if not node.member.is_registered or node.identity_ca is None:
        yield Task(
            "Register with it, and have the TLS identity certified.",
            command("hospital register", directory, "--licence", "LICENCE"),
        )
    yield from _then_serve("hospital", directory)
    yield Task(
        "Bring in the records that are there.",
        command("hospital import", directory, "--patient", "P:NAME", "--department", "H:NAME/CLASS", "BUNDLE.json"),
    )
    yield Task("Register patients: a ticket for each, at the desk.", command("hospital ticket", directory, "P:NAME"))


def _then_serve(kind: str, directory: Path) -> Iterator[Task]:
    yield Task("Look whether everything it needs is there.", command("check", directory))
    yield Task("Serve.", command(f"{kind} serve", directory))
    yield Task(
        "Back it up, every day; the keys apart (docs/backup.md).", command("backup", directory, "--out", "PLACE")
    )


def command(name: str, directory: Path, *rest: str) -> str:
    """Give a command as it is typed."""
    return shlex.join(["medunion", *name.split(), "--directory", str(directory), *rest])
