"""`medunion public-cloud`: who is a member, who may become one, where everybody is dialled; and a hospital that leaves."""

import json
from collections.abc import Callable, Mapping, Sequence

import click

from federation.cli.groups import Choice, Command
from federation.cli.options import AddressParameter, IdentityParameter, json_option, moment, operator, reason_option
from federation.cli.public_cloud import Opened, cloud_node
from federation.clinical.text import counted
from federation.cloud.departure import remove_hospital
from federation.cloud.index_rows import count_rows_of
from keystore.identities import HospitalId

_ROLES = "hospital", "doctor", "patient"


@click.command(cls=Command)
@cloud_node
@click.option("--role", "roles", type=Choice(_ROLES), multiple=True, help="These alone; repeat.")
@json_option
def members(opened: Opened, roles: tuple[str, ...], as_json: bool) -> None:
    """List who is registered, since when and until when, by which credential, and where a hospital is dialled."""
    with opened as node:
        now = node.cloud.clock()
        found = [
            {
                "identity": it.identity,
                "role": it.role,
                "serial": it.serial.hex(),
                "not_before": moment(it.not_before),
                "not_after": moment(it.not_after),
                "ended": it.not_after < now,
                "address": it.address,
            }
            for it in node.cloud.stores.registrations.walk()
            if not roles or it.role in roles
        ]
    _show(found, as_json, "No member is registered.", _member_line)


def _member_line(it: Mapping[str, object]) -> str:
    over = "  ENDED" if it["ended"] else ""
    at = f"  at {it['address']}" if it["address"] else ""
    return f"{it['identity']}  from {it['not_before']} until {it['not_after']}  serial {it['serial']}{at}{over}"


@click.command(cls=Command)
@cloud_node
@json_option
def tickets(opened: Opened, as_json: bool) -> None:
    """List the tickets that are good: for whom, until when, and who asked for them. The tickets themselves are kept nowhere."""
    with opened as node:
        found = [
            {
                "identity": it.identity,
                "role": it.role,
                "issued_by": it.issued_by,
                "expires_at": moment(it.expires_at),
                "ticket_digest": it.digest.hex(),
            }
            for it in node.cloud.stores.registrations.open_tickets(now=node.cloud.clock())
        ]
    _show(
        found,
        as_json,
        "No ticket is open.",
        lambda it: f"{it['identity']}  until {it['expires_at']}  by {it['issued_by']}",
    )


@click.command(cls=Command)
@cloud_node
@json_option
def addresses(opened: Opened, as_json: bool) -> None:
    """List where everybody is dialled: this cloud, as the trust bundle says, and each hospital, as it told."""
    with opened as node:
        content, settings = node.trust().content, node.settings
        found = [
            _address(content.cloud_id, "everybody", content.cloud_address, settings.public_listen),
            _address(content.cloud_id, "hospitals", content.cloud_peer_address, settings.peer_listen),
            *(
                _address(identity, "everybody", address, None)
                for identity, address in node.cloud.stores.registrations.hospitals(now=node.cloud.clock())
            ),
        ]
    _show(found, as_json, "", _address_line)


def _address(identity: str, whose: str, address: str, listens: str | None) -> dict[str, object]:
    return {"identity": identity, "for": whose, "address": address, "listens_at": listens}


def _address_line(it: Mapping[str, object]) -> str:
    listens = f"  (listens at {it['listens_at']})" if it["listens_at"] else ""
    return f"{it['identity']}  {it['address']}  for {it['for']}{listens}"


@click.command(cls=Command)
@cloud_node
@click.option("--address", type=AddressParameter(), help="host:port where everybody dials this cloud from now on.")
@click.option("--peer-address", type=AddressParameter(), help="host:port where hospitals dial it by mutual TLS.")
@reason_option
def move(opened: Opened, address: str | None, peer_address: str | None, reason: str) -> None:
    """Give the federation's public cloud another address: the next trust bundle says so, and members follow by it.

    Serve at both addresses until all have: a member learns of the new one at the old one. Where a cloud listens is in its
    medunion.toml.
    """
    if address is None and peer_address is None:
        raise click.UsageError("Give --address, --peer-address, or both.")
    with opened as node:
        content = node.trust().content
        wanted = address or content.cloud_address, peer_address or content.cloud_peer_address
        if wanted == (content.cloud_address, content.cloud_peer_address):
            raise click.ClickException(f"{content.cloud_id} is at {wanted[0]}, for hospitals at {wanted[1]} already")
        bundle = node.move(*wanted, f"by {operator()}: {reason}")
        settings = node.settings
    click.echo(
        f"Trust bundle {bundle.sequence} says {wanted[0]}, and for hospitals {wanted[1]}. Now:\n"
        f"1. This cloud listens at {settings.public_listen} and {settings.peer_listen}: see that the addresses lead there, or\n"
        "   change public_listen and peer_listen in medunion.toml, and restart.\n"
        "2. Keep the old addresses until members have the bundle: who serves takes it within seconds, a doctor's or a\n"
        "   patient's device when it next asks.\n"
        "3. Who comes too late takes `medunion trust chain` by `medunion trust update`; new members need the new trust.json."
    )


@click.command(cls=Command)
@cloud_node
@click.argument("hospital", type=IdentityParameter("hospital"), metavar="H:ID")
@click.option("--confirm", type=click.IntRange(min=0), metavar="N", help="Remove it, if it has N rows in the index.")
@reason_option
def remove_member(opened: Opened, hospital: str, confirm: int | None, reason: str) -> None:
    """Remove a hospital that leaves: revoke its credentials, take its rows out of the index, forget its tickets.

    Without --confirm it is only said what would go. What was cut off goes on when it is typed again. Whoever shall be a member
    again needs a ticket.
    """
    hospital_id = HospitalId(hospital)
    with opened as node:
        registrations, now = node.cloud.stores.registrations, node.cloud.clock()
        there = count_rows_of(node.cloud, hospital_id, None)
        if confirm is None:
            live = node.cloud.live(hospital_id, now=now)
            until = "is not registered" if live is None else f"is registered until {moment(live.not_after)}"
            click.echo(f"{hospital} {until}, and has {counted(there, 'row')} in the index.")
            click.echo(f"Nothing is removed yet; give --confirm {there}.")
            return
        if confirm != there:
            raise click.ClickException(f"{hospital} has {counted(there, 'row')}, not {confirm}: nothing was removed")
        gone = remove_hospital(node, hospital_id, f"by {operator()}: {reason}")
        others = sum(1 for _ in registrations.hospitals(now=now))
    for serial in gone.credentials:
        click.echo(f"The credential {serial.hex()} is revoked; members know within seconds.")
    click.echo(
        f"{hospital} is no member any more: {counted(gone.rows, 'row')} taken out of the index, {counted(gone.tickets, 'ticket')}"
        f" forgotten, and what {counted(gone.restrictions, 'patient')} hid there."
    )
    click.echo(
        f"Tell {counted(others, 'hospital')} that stay: whoever names it in `[log] witnesses` names another, and restarts.\n"
        "Tell its doctors and patients: its records are found no more, and consent for it is used by nobody."
    )


def _show(
    found: Sequence[Mapping[str, object]], as_json: bool, none: str, line: Callable[[Mapping[str, object]], str]
) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not found:
        click.echo(none)
    for it in () if as_json else found:
        click.echo(line(it))
