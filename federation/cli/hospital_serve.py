"""`medunion hospital serve`: alone here, for no other command reads what a server is made of."""

import asyncio

import click

from federation.cli.groups import Command
from federation.cli.serving import Ready, Server, Serving, run, serve_options
from federation.hospital.node import HospitalNode
from federation.processes.hospital import serve
from federation.processes.worker import WorkerSlot
from federation.settings import HospitalSettings
from hsm import PinProvider


@click.command("serve", cls=Command)
@serve_options
def serve_command(serving: Serving) -> None:
    """Serve doctors and patients until SIGTERM or SIGINT; at SIGUSR2 a successor takes over."""
    settings = serving.directory.settings(HospitalSettings)

    async def serve_here(pin: PinProvider, slot: WorkerSlot, stop: asyncio.Event, ready: Ready) -> None:
        with HospitalNode(serving.directory, pin) as node:
            await serve(node, stop, lambda address: ready({"address": address}), slot)

    run(
        serving,
        Server(
            kind="hospital",
            listen=(settings.listen,),
            settings=settings.server,
            token=settings.token,
            serve=serve_here,
            words=lambda ready: f"{settings.identity} serves at {ready['address']}",
        ),
    )
