"""What is left to do when a node is made: each step with its command, which works as it is typed."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from federation.cloud.node import PublicCloudNode
from federation.hospital.node import HospitalNode
from federation.settings import TokenSettings

SERVICES = Path("/var/lib/medunion")
"""Where the units of deploy/systemd have their nodes, each in a directory of its name."""

_CREDENTIAL = "pin"
"""The credential that the units hand to a node, and `medunion-node` to its commands."""


@dataclass(frozen=True)
class Task:
    """Something that is left to do: what, and the command where there is one."""

    says: str
    command: str = ""


@dataclass(frozen=True)
class Typing:
    """How commands for a node are typed: where it is, and where its PIN comes from if its settings don't say it to everybody."""

    directory: Path
    service: str | None
    pin_file: Path | None

    @classmethod
    def of(cls, directory: Path, token: TokenSettings, pin_file: Path | None) -> "Typing":
        """Return how, for a node with these settings whose PIN was read from that file, or was typed.

        Where the settings name a credential, systemd hands it out: the units' is used by `medunion-node`; otherwise each command
        is given the file, or asks.
        """
        if token.pin_credential is None:
            return cls(directory, None, None)
        is_service = token.pin_credential == _CREDENTIAL and directory.parent == SERVICES
        return cls(directory, directory.name if is_service else None, pin_file)

    def command(self, name: str, *rest: str) -> str:
        """Return a command as it is typed."""
        if self.service is not None:
            return shlex.join(["medunion-node", self.service, *name.split(), *rest])
        pin = [] if self.pin_file is None else ["--pin-file", str(self.pin_file)]
        return shlex.join(["medunion", *name.split(), "--directory", str(self.directory), *pin, *rest])

    def serve(self, kind: str) -> str:
        """Return the command that serves a node of that kind."""
        if self.service is not None:
            return f"systemctl enable --now {shlex.quote(f'medunion-{kind}@{self.service}')}"
        return self.command(f"{kind} serve")

    def seal_pin(self) -> Iterator[Task]:
        """Yield what makes the PIN a credential of the service."""
        if self.service is None:
            return
        target = shlex.quote(f"/etc/credstore.encrypted/medunion-{self.service}.pin")
        sealed = f"systemd-creds encrypt --name={_CREDENTIAL} {{}} {target}"
        yield Task(
            "Make the PIN a credential that this machine alone decrypts, for this service, unless that is done.",
            f"systemd-ask-password PIN | {sealed.format('-')}"
            if self.pin_file is None
            else sealed.format(shlex.quote(str(self.pin_file))),
        )


def tell(tasks: Iterable[Task]) -> None:
    """Say what is left to do, as a numbered list."""
    click.echo("\nWhat is left to do:")
    for number, task in enumerate(tasks, start=1):
        click.echo(f"{number:3}. {task.says}")
        if task.command:
            click.echo(f"       {task.command}")
    click.echo()


def left_for_cloud(node: PublicCloudNode, typing: Typing) -> Iterator[Task]:
    """Yield what a public cloud's operator has to do yet, in order."""
    yield from typing.seal_pin()
    authorities = node.authorities()
    if not authorities:
        yield Task(
            "Recognise a medical authority: without one, no doctor can register.",
            typing.command("public-cloud authority add", "CERTIFICATE", "DOCTORS"),
        )
    for it in authorities:
        if not it.crl:
            yield Task(
                f"Take the first list of {it.authority_id}: until then its doctors are refused.",
                typing.command("public-cloud crl", "LIST"),
            )
    yield from _then_serve("public-cloud", typing)
    bundle = node.trust()
    yield Task(
        f"Give {node.directory.trust_file} to everybody, and its digest by another way: {bundle.digest.hex()}",
        f"medunion trust show {shlex.quote(str(node.directory.trust_file))}",
    )
    yield Task(
        "Make a ticket for each hospital; its operator needs it, and the digest above.",
        typing.command("public-cloud invite", "H:NAME"),
    )


def left_for_hospital(node: HospitalNode, typing: Typing) -> Iterator[Task]:
    """Yield what a hospital's operator has to do yet, in order."""
    yield from typing.seal_pin()
    if not node.member.is_registered:
        yield Task(
            f"Ask the operator of {node.bundle.content.cloud_id} for a ticket for {node.settings.identity}: at the cloud,",
            f"medunion public-cloud invite --directory DIRECTORY {node.settings.identity}",
        )
    if not node.member.is_registered or node.identity_ca is None:
        yield Task(
            "Register with it, and have the TLS identity certified.",
            typing.command("hospital register", "--licence", "LICENCE"),
        )
    yield from _then_serve("hospital", typing)
    yield Task(
        "Bring in the records that are there.",
        typing.command("hospital import", "--patient", "P:NAME", "--department", "CLASS", "BUNDLE.json"),
    )
    yield Task("Register patients: a ticket for each, at the desk.", typing.command("hospital ticket", "P:NAME"))


def _then_serve(kind: str, typing: Typing) -> Iterator[Task]:
    yield Task("Look whether everything it needs is there.", typing.command("check"))
    yield Task("Serve.", typing.serve(kind))
    yield Task("Back it up, every day; the keys apart (docs/backup.md).", typing.command("backup", "--output", "PLACE"))
