"""`medunion`: one command for every kind of node."""

import ctypes
import os
import resource
import sys
from typing import Final

import click

from federation.cli.groups import MedunionGroup

_GROUPS = {
    "authority": "federation.cli.authority:authority",
    "backup": "federation.cli.backup:backup",
    "ceremony": "federation.cli.ceremony:ceremony",
    "check": "federation.cli.check:check",
    "doctor": "federation.cli.doctor:doctor",
    "explain": "federation.cli.explain:explain",
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

_PR_SET_DUMPABLE: Final = 4  # prctl(2)

# By itself gRPC's core writes a line for each broken handshake: whoever reaches a port would fill the journal. It looks
# once, when a command that needs it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


@click.group(cls=MedunionGroup, lazy=_GROUPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show a stack trace when something fails.")
@click.version_option(package_name="medunion")
def main(debug: bool) -> None:  # noqa: ARG001 - looked up where something fails
    """A medical union cloud: hospitals share records under the patient's grant."""
    keep_to_itself()


def keep_to_itself() -> None:
    """Let this process leave no core, and nobody but root attach to it or open its /proc/PID/mem. Raises OSError.

    It may hold a PIN or a key. Both hold for its forks; what it executes has the limit alone, and calls this itself. A
    debugger or profiler needs CAP_SYS_PTRACE, and the files below /proc/PID belong to root; the process still reads its own.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
