"""`medunion`: one command for every kind of node."""

import os

import click

from federation.cli.common import LazyGroup
from federation.cli.memory import keep_to_itself

_GROUPS = {
    "authority": "federation.cli.authority:authority",
    "backup": "federation.cli.backup:backup",
    "ceremony": "federation.cli.ceremony:ceremony",
    "check": "federation.cli.check:check",
    "doctor": "federation.cli.doctor:doctor",
    "health": "federation.cli.health:health",
    "hospital": "federation.cli.hospital:hospital",
    "init": "federation.cli.init:init",
    "patient": "federation.cli.patient:patient",
    "public-cloud": "federation.cli.public_cloud:public_cloud",
    "restore": "federation.cli.backup:restore_command",
    "token": "federation.cli.token:token",
    "trust": "federation.cli.trust:trust",
    "witness": "federation.cli.backup:witness",
}

# By itself gRPC's core writes a line for each broken handshake: whoever reaches a port would fill the journal. It looks
# once, when a command that needs it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


@click.group(cls=LazyGroup, lazy=_GROUPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show a stack trace when something fails.")
@click.version_option(package_name="medunion")
def main(debug: bool) -> None:  # noqa: ARG001 - looked up where something fails
    """A medical union cloud: hospitals share records under the patient's grant."""
    keep_to_itself()


if __name__ == "__main__":
    main()
