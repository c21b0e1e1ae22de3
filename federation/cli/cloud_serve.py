"""`medunion public-cloud serve`: alone here, for no other command reads what a server is made of."""

import asyncio

import click

from federation.cli.groups import Command
from federation.cli.serving import Ready, Server, Serving, run, serve_options
from federation.cloud.node import open_public_cloud
from federation.processes.cloud import serve as serve_public_cloud
from federation.processes.worker import WorkerSlot
from federation.settings import CloudSettings
from hsm import PinProvider


@click.command(cls=Command)
@serve_options
def serve(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; calls under way may end first. At SIGUSR2 a successor takes over."""
    settings = serving.directory.settings(CloudSettings)

    async def serve_here(pin: PinProvider, slot: WorkerSlot, stop: asyncio.Event, ready: Ready) -> None:
        with open_public_cloud(serving.directory, pin) as node:
            await serve_public_cloud(node, stop, lambda ports: ready(vars(ports)), slot)

    run(
        serving,
        Server(
            kind="public-cloud",
            listen=(settings.public_listen, settings.peer_listen),
            settings=settings.server,
            token=settings.token,
            serve=serve_here,
            words=lambda ready: (
                f"{settings.identity} serves at port {ready['public']}, hospitals at port {ready['peer']}"
            ),
        ),
    )
