"""What every command ends with, in one table: a script goes by these alone."""

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    TOKEN = 3


MEANINGS: Final = {
    ExitCode.DONE: "done, and nothing is wrong with what was asked about",
    ExitCode.REFUSED: "refused, failed or broken off, or something is wrong with what was asked about; a sentence says why",
    ExitCode.USAGE: "typed wrongly, or a ceremony's file is not as its kind asks for; nothing was begun",
    ExitCode.TOKEN: "a ceremony ended because a token failed it",
}


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code for what ended a ceremony."""
    from hsm.errors import HsmError  # noqa: PLC0415 - the table is in help, which knows of no token
    from keystore.ceremony.errors import (  # noqa: PLC0415 - as above
        CeremonyFileInvalid,
        NoncesBiased,
        NoncesDeterministic,
    )

    if isinstance(error, CeremonyFileInvalid):
        return ExitCode.USAGE
    return ExitCode.TOKEN if isinstance(error, (HsmError, NoncesBiased, NoncesDeterministic)) else ExitCode.REFUSED
