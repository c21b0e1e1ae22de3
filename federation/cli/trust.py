"""`medunion trust`: what a trust bundle says, the digest that pins it, and bundles that come by a file."""

import json
from pathlib import Path

import click
from cryptography import x509

from federation.cli.groups import Group
from federation.cli.options import OutputFile, directory_option, json_option, moment
from federation.clinical.text import printable, without_control
from federation.party.node_directory import NodeDirectory, read_trust, require_digest
from federation.party.trust import chain_of, chain_to_json, read_chain, update_trust
from federation.protocol.bundle import TrustedBundle, pin
from federation.protocol.witness_policy import witness_words
from federation.v1.directory_pb2 import KeyPeriod
from keystore.ceremony.transcript import spoken

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Group)
def trust() -> None:
    """Look at a trust bundle before anything is built on it; bring one up to date by a file."""


@trust.command()
@click.argument("file", type=_FILE)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Say what a trust bundle holds, and its digest: compare that with who gave it to you, by another way."""
    bundle = read_trust(file)
    if as_json:
        content = bundle.content
        click.echo(json.dumps({"digest": bundle.digest.hex(), "sequence": content.sequence, "realm": content.realm}))
        return
    for line in _lines(bundle):
        click.echo(without_control(line))


@trust.command()
@click.argument("file", type=_FILE)
@click.option("--digest", required=True, help="Digest that it has to have, as it was told by another way.")
def verify(file: Path, digest: str) -> None:
    """Require that a trust bundle is the one of a digest, in hexadecimal; spaces don't matter."""
    bundle = read_trust(file)
    require_digest(bundle, digest)
    click.echo(f"Number {bundle.sequence} of {printable(bundle.content.realm)}: it is the one.")


@trust.command()
@directory_option
@click.option("--output", type=OutputFile(), help="File to write it to, if not standard output.")
def chain(directory: NodeDirectory, output: Path | None) -> None:
    """Return all trust bundles of the public cloud in DIRECTORY, for `update`. Nothing in it is secret."""
    written = chain_to_json(chain_of(directory))
    if output is None:
        click.echo(written, nl=False)
    else:
        output.write_text(written, encoding="utf-8")


@trust.command()
@directory_option
@click.argument("source", type=_FILE, metavar="FILE")
@click.option("--digest", help="Digest that the newest one has to have, as it was told by another way.")
def update(directory: NodeDirectory, source: Path, digest: str | None) -> None:
    """Bring a member's trust bundle up to date from FILE, where it can't reach the public cloud any more.

    FILE is what `chain` wrote, or the next trust.json.

    Each bundle has to be signed by a key that the one before names, beginning with the one at hand: the file may come by any way.
    """
    found = read_chain(source)
    if digest is not None:
        require_digest(pin(found[-1]), digest)
    before, after = update_trust(directory, found)
    if after.sequence == before.sequence:
        click.echo(
            f"Number {before.sequence} of {printable(before.content.realm)} is at hand already; nothing newer is in {source}."
        )
        return
    click.echo(f"Number {after.sequence} of {printable(after.content.realm)} holds now; it was {before.sequence}.")
    for line in _lines(after):
        click.echo(without_control(line))


def _lines(bundle: TrustedBundle) -> list[str]:
    content = bundle.content
    subjects = [x509.load_der_x509_certificate(it) for it in content.tls_ca_certificates]
    return [
        f"Trust bundle number {content.sequence} of {content.realm}, by {content.cloud_id}, {moment(content.issued_at)}",
        f"Public cloud: {content.cloud_address}; for hospitals {content.cloud_peer_address}",
        *(f"PK: {_period(it)}" for it in content.issuers),
        *(f"PUK_C: {_period(it)}" for it in content.cloud_keys),
        *(
            f"TLS CA: {it.subject.rfc4514_string()}, until {it.not_valid_after_utc:%Y-%m-%d}, serial {it.serial_number:x}"
            for it in subjects
        ),
        *(
            f"Medical authority: {it.authority_id}, for {' '.join(it.doctor_ids) or 'nobody'}"
            for it in content.medical_authorities
        ),
        f"Department classes: {', '.join(content.department_classes)}",
        *(
            f"Witnesses of logs, from {moment(it.not_before) if it.not_before else 'the beginning'}: {witness_words(it)}"
            for it in content.witness_policies
        ),
        f"Good without the public cloud for {content.offline_grace_seconds // 3600} hours",
        f"Digest: {bundle.digest.hex()}",
        *(f"  {line}" for line in spoken(bundle.digest)),
    ]


def _period(period: KeyPeriod) -> str:
    verbs = {"not_before": "from", "not_after": "until", "tainted_at": "tainted", "revoked_at": "revoked"}
    times = [f"{verbs[field.name]} {moment(at)}" for field, at in period.ListFields() if field.name in verbs and at]
    return ", ".join([period.verifying_key.hex(), *times])
