"""`medunion doctor desk`: what `doctor consult` does at a terminal, as pages in the doctor's own browser."""

import click

from federation.cli import terminal
from federation.cli.doctor_options import ClientChoice, client_options
from federation.cli.groups import Command
from federation.cli.options import IdentityParameter
from federation.cli.page_options import PageChoice, page_options, pages_extra
from federation.cli.terminal import say
from federation.clock import system_clock
from federation.person.node import open_doctor
from federation.person.profile import DoctorSettings
from federation.person.records import MOST_FETCHED_BYTES
from keystore.identities import HospitalId


@click.command(cls=Command)
@client_options
@click.option("--hospital", required=True, type=IdentityParameter("hospital"), help="Your hospital: H:name.")
@click.option("--address", required=True, help="Where your hospital is dialled: host:port.")
@click.option("--department", help="Department class under which encounters are kept, unless you choose another.")
@click.option(
    "--fetch-at-most",
    "most_megabytes",
    type=terminal.Amount(min=0, min_open=True, max=10_000_000),
    default=MOST_FETCHED_BYTES / 1_000_000,
    show_default=True,
    help="Megabytes to fetch in one visit, of all records together.",
)
@page_options
def desk(
    client: ClientChoice,
    hospital: str,
    address: str,
    department: str | None,
    most_megabytes: float,
    pages: PageChoice,
) -> None:
    """Work at your desk in a browser of this computer: rooms, visits, records, diagnoses, emergencies.

    Your PIN is asked for here, and never by a page. Ctrl-C ends the desk; what waits to be kept, and drafts, stay.
    """
    with pages_extra():
        from federation.pages.desk.practice import Practice  # noqa: PLC0415
        from federation.pages.desk.side import DeskSide  # noqa: PLC0415
        from federation.pages.serve import serve  # noqa: PLC0415
    # Not the choice's own way, which remembers a PIN: after a lock it is asked for again.
    pin = client.pin.provider(client.directory.settings(DoctorSettings).token)
    with (
        terminal.trace_file(client.trace) as trace,
        open_doctor(client.directory, pin, trace, dial_only=client.dial_only) as opened,
    ):
        published = sorted(opened.member.anchors.department_classes)
        if department is not None and department not in published:
            raise click.BadParameter(f"the federation publishes {', '.join(published)}", param_hint="--department")
        practice = Practice(
            client=opened.client,
            drafts=opened.drafts,
            doctor_id=opened.member.doctor_id,
            hospital_id=HospitalId(hospital),
            address=address,
            department=department,
            published=published,
            most_fetched_bytes=round(most_megabytes * 1_000_000),
            clock=system_clock,
            say=say,
        )
        side = DeskSide(practice, log_out=opened.token.log_out, log_in=opened.token.log_in)
        try:
            serve(side, client.directory.path, lock_after=pages.lock_after, browser=pages.browser, say=say)
        finally:
            side.leave()
