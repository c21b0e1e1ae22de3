"""`medunion public-cloud witness-policy`: whose cosignatures of logs count from now on, and how many their readers ask for."""

from collections.abc import Iterator, Mapping, Sequence

import click

from federation.cli.groups import Command
from federation.cli.options import IdentityParameter, operator, reason_option
from federation.cli.public_cloud import Opened, cloud_node
from federation.clinical.text import counted
from federation.errors import BundleInvalid
from federation.protocol.witness_policy import MOST_COSIGNATURES, WitnessPolicy, witness_words
from federation.v1.directory_pb2 import WitnessPolicy as StatedPolicy
from keystore.identities import ANY


@click.command(cls=Command)
@cloud_node
@click.option(
    "--cosignatures",
    type=click.IntRange(1, MOST_COSIGNATURES),
    required=True,
    help="How many have to cosign a head before its readers believe it.",
)
@click.option(
    "--hospital",
    "hospitals",
    type=IdentityParameter("hospital"),
    multiple=True,
    help="Count this hospital; repeat. Without any, every registered hospital counts.",
)
@click.option("--without-cloud", is_flag=True, help="Don't count the public cloud itself.")
@click.option("--confirm", type=int, help="State it, if this is as many as --cosignatures says.")
@reason_option
def witness_policy(
    opened: Opened,
    cosignatures: int,
    hospitals: tuple[str, ...],
    without_cloud: bool,
    confirm: int | None,
    reason: str,
) -> None:
    """State in the next trust bundle whose cosignatures of a log's head count from now on, and how many are asked for.

    Without --confirm it is only said what would change, and for whose log there would be too few. Old policies stay, for
    evidence; `medunion trust show` shows them all.
    """
    wanted = StatedPolicy(
        not_before=0, cosignatures=cosignatures, hospitals=hospitals or (ANY,), public_cloud=not without_cloud
    )
    with opened as node:
        content = node.trust().content
        try:
            policy = WitnessPolicy.read(wanted, content.cloud_id)
        except BundleInvalid as error:
            raise click.ClickException(f"nothing was stated: {error}") from error
        now = node.cloud.clock()
        registered = [hospital_id for hospital_id, _ in node.cloud.stores.registrations.hospitals(now=now)]
        for line in _said(policy, content.witness_policies[-1], wanted, [content.cloud_id, *registered]):
            click.echo(line)
        if confirm is None:
            click.echo(f"Nothing is stated yet; give --confirm {cosignatures}.")
            return
        if confirm != cosignatures:
            raise click.ClickException(f"{confirm} is not {cosignatures}: nothing was stated")
        bundle = node.state_witnesses(wanted, f"by {operator()}: {reason}")
    click.echo(
        f"Trust bundle {bundle.sequence} says so. Who serves has it within seconds, a doctor's or a patient's device when it next"
        " asks.\nEach hospital whose log needs others than the public cloud names them in `[log] witnesses`, and restarts."
    )


def _said(policy: WitnessPolicy, before: StatedPolicy, wanted: StatedPolicy, members: Sequence[str]) -> Iterator[str]:
    """Say what would change, who of those who would count is not there, and whose log could not have enough."""
    yield f"Now:  {witness_words(before)}"
    yield f"Then: {witness_words(wanted)}"
    for hospital_id in policy.named:
        if hospital_id not in members:
            yield f"{hospital_id} IS NOT REGISTERED: it counts when it is."
    short: Mapping[str, int] = {it: len(policy.counted(members, it)) for it in members}
    for author_id, there in short.items():
        if there < policy.cosignatures:
            yield f"TOO FEW FOR THE LOG OF {author_id}: {counted(there, 'other')} would count there."
