"""`medunion`: one command for every kind of node."""

import ctypes
import os
import resource
import sys
from typing import Final

import click

from federation.cli.groups import Lazy, MedunionGroup

if "_MEDUNION_COMPLETE" in os.environ:  # a shell asks what TAB offers
    from federation.cli.completion import use_words

    use_words()

_GROUPS = {
    "authority": Lazy("federation.cli.authority:authority", "Certify doctors, and take certificates back."),
    "backup": Lazy("federation.cli.backup:backup", "Back up a node while it serves."),
    "ceremony": Lazy("federation.cli.nouns:ceremony", "Make, rotate and destroy keys before witnesses."),
    "check": Lazy("federation.cli.check:check", "Try everything that a node needs, and say what to do."),
    "doctor": Lazy("federation.cli.nouns:doctor", "See patients, read their records, sign diagnoses."),
    "evidence": Lazy("federation.cli.evidence:evidence", "Judge what somebody shows as evidence, offline."),
    "explain": Lazy("federation.cli.explain:explain", "Say what a refusal means, and what to do about it."),
    "health": Lazy("federation.cli.health:health", "Ask a node that serves how it is."),
    "help": Lazy("federation.cli.help:help_command", "Show the help of a command, or what commands end with."),
    "hospital": Lazy("federation.cli.nouns:hospital", "Make, register and run a hospital."),
    "patient": Lazy("federation.cli.nouns:patient", "Visit doctors, give consent, read your records."),
    "public-cloud": Lazy("federation.cli.nouns:public_cloud", "Run the public cloud of a federation."),
    "restore": Lazy("federation.cli.backup:restore_command", "Put a node back from a backup."),
    "token": Lazy("federation.cli.nouns:token", "Look at tokens, try and initialise them, audit their keys."),
    "trust": Lazy("federation.cli.trust:trust", "Look at a trust bundle; bring one up to date by a file."),
    "witness": Lazy("federation.cli.backup:witness", "Write down what a hospital last heard of the public cloud."),
}

_PR_SET_DUMPABLE: Final = 4  # prctl(2)

# By itself gRPC's core writes a line for each broken handshake: whoever reaches a port would fill the journal. It looks
# once, when a command that needs it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


@click.group(
    cls=MedunionGroup,
    lazy=_GROUPS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`medunion help exit-codes` says what commands end with; docs/command.md has all of their words.",
)
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
