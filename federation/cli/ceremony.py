"""`medunion ceremony`: check, print, rehearse, hold and prove a key ceremony.

Exit codes: 0 done, 1 refused or aborted, 2 bad file or usage, 3 token failure.
"""

import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from typing import Final

import click

from federation.cli.groups import TellingGroup
from federation.cli.options import EXISTING, OutputFile, PinChoice, pin_options
from federation.clinical.text import printable
from federation.party.node_directory import use_softhsm
from federation.settings import TokenSettings
from hsm import PinProvider, TokenUri, open_token, pin_from_file, pin_from_prompt
from hsm.errors import KeyNotFound
from keystore.ceremony import engine
from keystore.ceremony.console import Desk
from keystore.ceremony.errors import AnswerMissing, CeremonyFileInvalid, ResumeRefused, exit_code_of
from keystore.ceremony.kinds import CEREMONY
from keystore.ceremony.plan import Plan, read_plan
from keystore.ceremony.rehearsal import MARK, Stage
from keystore.ceremony.steps import run_sheet
from keystore.ceremony.transcript import spoken, write_new
from keystore.ceremony.verify import Verified, VerifiedChain, as_html, verify_chain
from keystore.ceremony.verify import verify as verify_transcript
from keystore.signatures import VerifyingKey

_CLEAR: Final = "\033[2J\033[3J\033[H"
"""Clears the screen and what was scrolled away (ECMA-48; 3J is xterm's)."""
_SHARE_SUFFIX: Final = ".share"


class TerminalDesk:
    """People at a terminal."""

    def __init__(self, mark: str = "") -> None:
        """Begin what only the terminal says with this mark."""
        self._mark = mark

    def say(self, text: str) -> None:
        """Show lines."""
        click.echo(text)

    def ask(self, prompt: str, text: str) -> str:  # noqa: ARG002 - people need no names of prompts
        """Ask for a line. Raises EOFError, KeyboardInterrupt."""
        click.echo(f"{text}: ", nl=False)
        line = sys.stdin.readline()
        if not line.endswith("\n"):
            raise EOFError("the input ended")
        return line.removesuffix("\n")

    def pin(self, name: str, text: str) -> PinProvider:  # noqa: ARG002
        """Ask for a PIN without echo."""
        return pin_from_prompt(text)

    def show_share(self, holder: str, share: str) -> None:
        """Show a share to its holder, alone at the screen, until they type "Yes"; then clear the screen."""
        self.ask("", f"{self._mark}Everybody but {holder} looks away; {holder} presses Enter")
        click.echo(share)
        while self.ask("", f'{self._mark}{holder}: write it down, compare it, type "Yes"') != "Yes":
            continue
        click.echo(_CLEAR, nl=False, color=True)  # color: even where click would strip it

    def take_share(self, holder: str) -> str:
        """Take a share without echo; an empty line gives none."""
        return getpass(f"{holder}: type your share, or just Enter to give none: ")


class AnswersDesk:
    """Answers by prompt, from a file: `[answers]`, `[pins]` (files), `shares` (a directory). For CI only."""

    def __init__(self, path: Path) -> None:
        """Read the file; paths in it are relative to where it lies. Raises CeremonyFileInvalid."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise CeremonyFileInvalid(f"{path} is no answers file: {error}") from error
        unknown = sorted(content.keys() - {"default", "answers", "pins", "shares"})
        if unknown:
            raise CeremonyFileInvalid(f"{unknown[0]}: unknown in an answers file")
        self._default = content.get("default")
        self._answers: dict[str, str] = content.get("answers", {})
        self._pins = {name: path.parent / file for name, file in content.get("pins", {}).items()}
        self._shares: Path | None = path.parent / content["shares"] if "shares" in content else None

    def say(self, text: str) -> None:
        """Show lines."""
        click.echo(text)

    def ask(self, prompt: str, text: str) -> str:
        """Return the answer to a prompt. Raises AnswerMissing."""
        answer = self._answers.get(prompt, self._default)
        if not isinstance(answer, str):
            raise AnswerMissing(f"the answers file has nothing for {prompt!r}")
        click.echo(f"{text}: {answer}")
        return answer

    def pin(self, name: str, text: str) -> PinProvider:  # noqa: ARG002
        """Return the PIN's file. Raises AnswerMissing."""
        if name not in self._pins:
            raise AnswerMissing(f"the answers file has no PIN for {name!r}")
        return pin_from_file(self._pins[name])

    def show_share(self, holder: str, share: str) -> None:
        """Write a share to the directory, for CI only."""
        write_new(self._share(holder), share.encode(), mode=0o600)

    def take_share(self, holder: str) -> str:
        """Read a share from the directory; none if there is no file."""
        path = self._share(holder)
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _share(self, holder: str) -> Path:
        if self._shares is None:
            raise AnswerMissing("the answers file names no directory for shares")
        return self._shares / f"{holder}{_SHARE_SUFFIX}"


class _CeremonyGroup(TellingGroup):
    """Ends with the exit code of a fault's kind."""

    def told(self, error: BaseException) -> click.ClickException:
        told = super().told(error)
        told.exit_code = exit_code_of(error)  # type: ignore[misc] # click's own way to say it
        return told


@click.group(cls=_CeremonyGroup)
def ceremony() -> None:
    """Make, rotate and destroy keys before witnesses."""


@ceremony.command()
@click.argument("file", type=EXISTING)
def validate(file: Path) -> None:
    """Check a ceremony's FILE, and show its digest to be compared by everybody who reviewed it."""
    plan = read_plan(file)
    click.echo(f"{plan.title}: {plan.kind.name}, {plan.kind.purpose}")
    click.echo(f"SHA-256 {plan.digest.hex()}")
    for line in spoken(plan.digest):
        click.echo(f"    {line}")


@ceremony.command()
@click.argument("file", type=EXISTING)
def script(file: Path) -> None:
    """Print the run sheet of a ceremony's FILE: every step, who confirms it, and blanks to fill in."""
    click.echo(run_sheet(read_plan(file)), nl=False)


@ceremony.command()
@click.argument("file", type=EXISTING)
@click.option("--transcript", type=OutputFile(), help="Where to write the transcript; FILE.transcript if not given.")
@click.option("--answers", type=EXISTING, help="Answers by step, in place of people: for CI only.")
@click.option("--rehearsal", is_flag=True, help="Run the identical script on throw-away SoftHSM tokens.")
@click.option("--resume", is_flag=True, help="Go on with, or undo, a ceremony that was interrupted.")
def run(file: Path, transcript: Path | None, answers: Path | None, rehearsal: bool, resume: bool) -> None:
    """Hold the ceremony of FILE."""
    plan = read_plan(file)
    path = transcript or file.with_name(file.name + (".rehearsal" if rehearsal else "") + ".transcript")
    desk = AnswersDesk(answers) if answers else TerminalDesk(f"{MARK} " if rehearsal else "")
    with _terminable():
        if rehearsal and resume:
            raise ResumeRefused("a rehearsal's tokens are thrown away: hold it again")
        if rehearsal:
            _rehearse(plan, desk, path)
        else:
            _hold(plan, desk, path, resume=resume)


def _hold(plan: Plan, desk: Desk, path: Path, *, resume: bool) -> None:
    use_softhsm(plan.softhsm_configuration)
    held = (engine.resume if resume else engine.run)(plan, desk, path, _now)
    desk.say(f"\nThe ceremony is over. Its transcript is {path}, {len(held.entries)} lines.")


@contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C for a block: the ceremony notes where it stood."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _rehearse(plan: Plan, desk: Desk, path: Path) -> None:
    with _throw_away() as directory:
        stage = Stage(directory, desk, _now)
        try:
            held = engine.run(stage.plan(plan), stage.desk, path, _now, rehearsal=True)
        finally:
            engine.state_path(path).unlink(missing_ok=True)
    stage.desk.say(f"\nThe rehearsal is over. Its transcript is {path}, {len(held.entries)} lines.")


@contextmanager
def _throw_away() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="medunion-rehearsal-") as name:
        yield Path(name)


@ceremony.command()
@click.argument("transcript", type=EXISTING)
@click.option("--participant", "pins", multiple=True, metavar="NAME=KEY", help="A public key that you know; repeat.")
@click.option("--previous", multiple=True, type=EXISTING, help="An earlier transcript of the chain; repeat.")
def verify(transcript: Path, pins: tuple[str, ...], previous: tuple[Path, ...]) -> None:
    """Check a TRANSCRIPT offline, with those before it that are given, and name the first thing that is wrong."""
    earlier = {str(path): path.read_bytes() for path in previous}
    chain = verify_chain(transcript.read_bytes(), earlier, dict(map(pinned, pins)))
    verified = chain.newest
    if verified.rehearsal:
        click.echo(f"{MARK}: this proves nothing about real keys")
    click.echo(f"{_of(verified)}: {len(verified.entries)} lines hold")
    click.echo(f"signed by {_signers(verified)}")
    if not pins:
        click.echo("Their keys are those that the transcript names: pin them with --participant to be sure of them.")
    click.echo(f"SHA-256 {verified.head.hex()}")
    for line in spoken(verified.head):
        click.echo(f"    {line}")
    _tell_chain(chain)


def _tell_chain(chain: VerifiedChain) -> None:
    for name, verified in chain.earlier.items():
        click.echo(f"before it: {name}, {_of(verified)}: {len(verified.entries)} lines hold")
        click.echo(f"    signed by {_signers(verified)}")
    if chain.not_given:
        click.echo(f"NOT CHECKED: an earlier transcript, SHA-256 {chain.not_given}: give it with --previous")
    else:
        click.echo("The chain begins there: no ceremony came before.")


def _of(verified: Verified) -> str:
    return f"{printable(verified.title)} ({printable(verified.kind)})"


def _signers(verified: Verified) -> str:
    return ", ".join(f"{printable(name)} {printable(key)}" for name, key in verified.signers.items())


def pinned(text: str) -> tuple[str, str]:
    """Read NAME=KEY. Raises CeremonyFileInvalid."""
    name, equals, key = text.partition("=")
    if not equals:
        raise CeremonyFileInvalid(f"--participant {text}: has to be NAME=KEY")
    return name, key


@ceremony.command()
@click.argument("transcript", type=EXISTING)
@click.option("--output", type=OutputFile(), required=True, help="The page to write.")
def render(transcript: Path, output: Path) -> None:
    """Make a page for the binder of a TRANSCRIPT that holds."""
    content = transcript.read_bytes()
    write_new(output, as_html(verify_transcript(content)).encode())


@ceremony.command()
@click.option("--token", required=True, help="Your token, as an RFC 7512 URI.")
@pin_options
def participant(token: str, pin: PinChoice) -> None:
    """Return the public key with which you will sign transcripts, made in your token if it is not there."""
    uri = TokenUri.parse(token)
    with open_token(uri, pin.provider(TokenSettings(token))) as opened:
        try:
            key = opened.signing(CEREMONY)
        except KeyNotFound:
            key = opened.generate_signing(CEREMONY)
        click.echo(VerifyingKey.of(key.public_key()).data.hex())


def _now() -> datetime:
    return datetime.now(UTC)
