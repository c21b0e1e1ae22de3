"""The options by which a doctor's commands open a client that calls others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from federation.cli import terminal
from federation.cli.options import DIRECTORY_OPTION, PIN_OPTIONS, OutputFile, PinChoice, gather_options, pin_of
from federation.party.node_directory import NodeDirectory
from federation.person.node import OpenDoctor, open_doctor
from federation.person.profile import DoctorSettings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Desk:
    """Whose client is opened, and how."""

    directory: NodeDirectory
    pin: PinChoice
    trace: Path | None
    dial_only: tuple[str, ...]

    def of(self, directory: NodeDirectory) -> "Desk":
        """Return the same desk for a colleague's client, whose settings say where its PIN is, or who types it."""
        return replace(self, directory=directory, pin=PinChoice(None, None))

    @contextmanager
    def opened(self) -> Iterator[OpenDoctor]:
        """Open the client."""
        pin = self.pin.provider(self.directory.settings(DoctorSettings).token)
        with (
            terminal.trace_file(self.trace) as file,
            open_doctor(self.directory, pin, file, dial_only=self.dial_only) as opened,
        ):
            yield opened


def desk_options(command: F) -> F:
    """Add whose client it is and how it calls, as a Desk named `desk`."""
    trace = click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
    names = "directory", "trace", "dial_only"

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        return {"desk": Desk(pin=pin_of(values), **{name: values.pop(name) for name in names})}

    return gather_options(command, gather, (DIRECTORY_OPTION, trace, terminal.dial_only_option, *PIN_OPTIONS))
