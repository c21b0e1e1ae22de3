"""`medunion ceremony`: check, print, rehearse, hold and prove a key ceremony.

Its exit codes are those of `exit_codes.py`.
"""

import shlex
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from federation.cli.ceremony_desks import AnswersDesk, TerminalDesk
from federation.cli.groups import Command
from federation.cli.options import EXISTING, OutputFile, PinChoice, pin_options
from federation.clinical.text import printable
from federation.party.node_directory import use_softhsm
from federation.settings import ConfigError, TokenSettings
from hsm import TokenUri, open_token
from hsm.errors import KeyNotFound
from keystore.ceremony import engine
from keystore.ceremony.binder import Binder, blank_binder, filled_binder
from keystore.ceremony.console import Desk
from keystore.ceremony.errors import CeremonyFileInvalid, Interrupted, OutputExists, ResumeRefused
from keystore.ceremony.kinds import CEREMONY
from keystore.ceremony.plan import Plan
from keystore.ceremony.plan_file import read_plan
from keystore.ceremony.rehearsal import MARK, PRACTICE_PIN, Stage
from keystore.ceremony.steps import run_sheet
from keystore.ceremony.transcript import State, spoken, write_new
from keystore.ceremony.verify import Verified, VerifiedChain, verify_chain
from keystore.ceremony.verify import verify as verify_transcript
from keystore.signatures import VerifyingKey


@click.command(cls=Command)
@click.argument("file", type=EXISTING)
def validate(file: Path) -> None:
    """Check a ceremony's FILE, and show its digest to be compared by everybody who reviewed it."""
    plan = read_plan(file)
    click.echo(f"{plan.title}: {plan.kind.name}, {plan.kind.purpose}")
    click.echo(f"SHA-256 {plan.digest.hex()}")
    for line in spoken(plan.digest):
        click.echo(f"    {line}")


@click.command(cls=Command)
@click.argument("file", type=EXISTING)
@click.option("--output", type=OutputFile(), help="Where to write it as a document, .pdf or .html.")
def script(file: Path, output: Path | None) -> None:
    """Print the run sheet of a ceremony's FILE: every step, its time, who confirms it, and blanks to fill in."""
    plan = read_plan(file)
    if output is None:
        click.echo(run_sheet(plan), nl=False)
    else:
        write_new(output, _drawn(blank_binder(plan), output))


@click.command(cls=Command)
@click.argument("file", type=EXISTING)
@click.option("--output", type=OutputFile(), help="Where to write the transcript; FILE.transcript if not given.")
@click.option("--answers", type=EXISTING, help="Answers by step, in place of people: for CI only.")
@click.option("--rehearsal", is_flag=True, help="Run the identical script on throw-away SoftHSM tokens.")
@click.option("--resume", is_flag=True, help="Go on with, or undo, a ceremony that was interrupted.")
def run(file: Path, output: Path | None, answers: Path | None, rehearsal: bool, resume: bool) -> None:
    """Hold the ceremony of FILE."""
    plan = read_plan(file)
    path = output or file.with_name(file.name + (".rehearsal" if rehearsal else "") + ".transcript")
    if rehearsal and resume:
        raise ResumeRefused("a rehearsal's tokens are thrown away: hold it again")
    if rehearsal:
        with _interruptible():
            _rehearse(plan, AnswersDesk(answers, PRACTICE_PIN) if answers else TerminalDesk(f"{MARK} "), path)
    else:
        with _saying_what_next(plan, file, path), _interruptible():
            _hold(plan, AnswersDesk(answers) if answers else TerminalDesk(), path, resume=resume)


def _hold(plan: Plan, desk: Desk, path: Path, *, resume: bool) -> None:
    use_softhsm(plan.softhsm_configuration)
    held = (engine.resume if resume else engine.run)(plan, desk, path, _now)
    desk.say(f"\nThe ceremony is over. Its transcript is {path}, {len(held.entries)} lines.")


@contextmanager
def _saying_what_next(plan: Plan, file: Path, path: Path) -> Iterator[None]:
    """Add to whatever ends a ceremony where it stood, where its transcript is, and how it goes on."""
    try:
        yield
    except (OutputExists, ResumeRefused):  # nothing was begun, or nothing is left
        raise
    except Exception as error:
        kept = engine.state_path(path)
        if kept.exists():
            state = State.read(kept, plan.digest.hex())
            words = ("medunion", "ceremony", "run", str(file), "--output", str(path), "--resume")
            error.add_note(f"It stands at the step {state.step!r}; what happened is in {path}.")
            error.add_note(f"To go on, or to undo what was made: {shlex.join(words)}")
        elif path.exists():
            error.add_note(f"What happened is in {path}; nothing is left to go on with.")
        raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM and a terminal's end as Ctrl-C for a block: the ceremony notes where it stood. Raises Interrupted."""
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
        try:
            yield
        except (KeyboardInterrupt, EOFError) as error:  # in a step, the ceremony has said so itself
            raise Interrupted("interrupted before a step, or while what was made was undone") from error


def _rehearse(plan: Plan, desk: Desk, path: Path) -> None:
    with _throw_away() as directory:
        stage = Stage(directory, desk, _now)
        try:
            rehearsed = stage.plan(plan)
            stage.give_shares()
            held = engine.run(rehearsed, stage.desk, path, _now, rehearsal=True)
        finally:
            engine.state_path(path).unlink(missing_ok=True)
    stage.desk.say(f"\nThe rehearsal is over. Its transcript is {path}, {len(held.entries)} lines.")


@contextmanager
def _throw_away() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="medunion-rehearsal-") as name:
        yield Path(name)


@click.command(cls=Command)
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


@click.command(cls=Command)
@click.argument("transcript", type=EXISTING)
@click.option("--output", type=OutputFile(), required=True, help="The document to write, .pdf or .html.")
def render(transcript: Path, output: Path) -> None:
    """Make the binder of a TRANSCRIPT that holds: one document to sign, PDF or HTML by its name's end."""
    write_new(output, _drawn(filled_binder(verify_transcript(transcript.read_bytes())), output))


def _drawn(binder: Binder, output: Path) -> bytes:
    try:
        if output.suffix == ".pdf":
            from federation.binder.paper import as_pdf  # noqa: PLC0415 - of the extra `binder`

            return as_pdf(binder)
        if output.suffix == ".html":
            from federation.binder.page import as_html  # noqa: PLC0415 - of the extra `binder`

            return as_html(binder)
    except ModuleNotFoundError as error:
        raise ConfigError(f"a binder needs the extra `binder`: {error.name} is not installed") from None
    raise click.BadParameter("has to end with .pdf or .html", param_hint="--output")


@click.command(cls=Command)
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
