"""`medunion evidence`: what a judge does with what somebody shows. It needs no token, no store and no network."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
from cryptography import x509

from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Group
from federation.cli.options import json_option
from federation.clinical.text import counted, without_control
from federation.errors import FederationError
from federation.party.node_directory import read_trust
from federation.protocol.anchors import Anchors
from federation.protocol.exhibit import MOST_FILE_BYTES, KeptExhibit, read_file
from federation.protocol.judge import judge
from federation.protocol.judging import Judgement, moment
from keystore.errors import CertificateRejected
from keystore.pem import read_certificates

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Group)
def evidence() -> None:
    """Judge what somebody shows as evidence, by the trust bundle alone."""


@evidence.command()
@click.argument("file", type=_FILE)
@click.option("--trust", type=_FILE, required=True, help="Trust bundle that you yourself have from the federation.")
@click.option(
    "--tsa",
    "authorities",
    type=_FILE,
    multiple=True,
    help="PEM file with the root certificate of an authority whose time stamps you believe; may be repeated.",
)
@json_option
def verify(file: Path, trust: Path, authorities: tuple[Path, ...], as_json: bool) -> None:
    """Say of each exhibit in FILE what it proves and what it doesn't; exit with 0 only if all of them hold.

    The trust bundle is not of whoever shows the evidence: compare its digest with the federation's. So with the certificate of
    an authority of time.
    """
    bundle = read_trust(trust)
    stampers = [certificate for path in authorities for certificate in _certificates(path)]
    try:
        with file.open("rb") as shown:
            kept = read_file(shown.read(MOST_FILE_BYTES + 1))
    except FederationError as error:
        raise click.ClickException(f"{file} is no evidence. ({error.reason}: {error})") from error
    judgements = judge(kept, Anchors.of(bundle.content), stampers)
    if as_json:
        found = [_as_json(judgement, one) for judgement, one in zip(judgements, kept, strict=True)]
        click.echo(json.dumps({"trust_digest": bundle.digest.hex(), "exhibits": found}, indent=1))
    else:
        click.echo(f"By trust bundle number {bundle.sequence}, digest {bundle.digest.hex()}:")
        for judgement, one in zip(judgements, kept, strict=True):
            for line in _lines(judgement, one):
                click.echo(without_control(line))
        click.echo(_sum(judgements))
    if not judgements or not all(it.holds for it in judgements):
        raise click.exceptions.Exit(ExitCode.REFUSED)


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return read_certificates(path.read_bytes())
    except CertificateRejected as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--tsa") from error


def _lines(judgement: Judgement, kept: KeptExhibit) -> Iterator[str]:
    yield ""
    yield f"{judgement.number}. {judgement.kind} of {judgement.signer}: {'HOLDS' if judgement.holds else 'DOES NOT HOLD'}"
    for check in judgement.checks:
        failed = f" ({check.reason}: {check.detail})" if check.reason else ""
        yield f"   {'no ' if check.reason else 'yes'}  {check.name}: {check.words}{failed}"
    for words in judgement.proves:
        yield f"   PROVES  {words}"
    for words in judgement.leaves_open:
        yield f"   LEAVES OPEN  {words}"
    yield (
        f"   ITS HOLDER SAYS  received at {moment(kept.received_at)}, when revocation list {kept.list_sequence} was at hand"
    )


def _sum(judgements: list[Judgement]) -> str:
    failed = [str(it.number) for it in judgements if not it.holds]
    all_ = counted(len(judgements), "exhibit")
    return f"\n{all_}, and every one holds." if not failed else f"\n{all_}; THESE DO NOT HOLD: {', '.join(failed)}."


def _as_json(judgement: Judgement, kept: KeptExhibit) -> dict[str, object]:
    checks = [{"name": it.name, "holds": not it.reason, "reason": it.reason} for it in judgement.checks]
    return {
        "number": judgement.number,
        "kind": judgement.kind,
        "signer": judgement.signer,
        "holds": judgement.holds,
        "witnessed": judgement.witnessed,
        "checks": checks,
        "proves": judgement.proves,
        "leaves_open": judgement.leaves_open,
        "holder_says": {"received_at_ms": kept.received_at, "revocation_list_sequence": kept.list_sequence},
    }
