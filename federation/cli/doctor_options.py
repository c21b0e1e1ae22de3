"""The options by which a doctor's commands open a client that calls others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from federation.cli import terminal
from federation.cli.options import DIRECTORY_OPTION, PIN_OPTIONS, OutputFile, PinChoice, gather_options, pin_of
from federation.party.node_directory import NodeDirectory
from federation.person.node import OpenDoctor, open_doctor
from federation.person.profile import DoctorSettings
from hsm import Pin

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class ClientChoice:
    """Whose client is opened, and how: as often as a command needs it, with a PIN that is asked for once."""

    directory: NodeDirectory
    pin: PinChoice
    trace: Path | None
    dial_only: tuple[str, ...]
    _asked: Pin | None = field(default=None, repr=False)

    def of(self, directory: NodeDirectory) -> "ClientChoice":
        """Choose a colleague's client in the same way; its settings say where its PIN is, or the colleague types it."""
        return ClientChoice(directory, PinChoice(None, None), self.trace, self.dial_only)

    @contextmanager
    def opened(self) -> Iterator[OpenDoctor]:
        """Open the client."""
        with (
            terminal.trace_file(self.trace) as file,
            open_doctor(self.directory, self._pin, file, dial_only=self.dial_only) as opened,
        ):
            yield opened

    def _pin(self) -> Pin:
        if self._asked is None:
            self._asked = self.pin.provider(self.directory.settings(DoctorSettings).token)()
        return self._asked


def client_options(command: F) -> F:
    """Add whose client it is and how it calls, as a ClientChoice named `client`."""
    trace = click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
    names = "directory", "trace", "dial_only"

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        return {"client": ClientChoice(pin=pin_of(values), **{name: values.pop(name) for name in names})}

    return gather_options(command, gather, (DIRECTORY_OPTION, trace, terminal.dial_only_option, *PIN_OPTIONS))
