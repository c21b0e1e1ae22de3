"""`python -m demo`: two visits of one patient, told as they happen. Exit code 0 only if every claim at the end held."""

import argparse
import io
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from demo import screens
from demo.claims import Visit, answers_in, examine
from demo.events import Event, in_words, read_traces
from demo.page import Check, Page, Pictures, render
from demo.sequence import draw
from demo.stage import CONSENT, Federation, end_in_order, federation, forked, run
from federation.clinical.drawing import svg
from federation.clinical.ecg import leads_from_observation

DATA = Path(__file__).parents[1] / "tests" / "data"
RECORD = DATA / "synthea-johnnie679.json"
ECG = DATA / "waveform_ecg.dcm"
CONCLUSION = "Sinus rhythm. No acute changes against the record of hospital A. Control in six months."
WHO = {"P:johnnie": "patient", "D:chen": "doctor", "C:union": "public cloud", "H:a": "hospital A", "H:b": "hospital B"}
_COLOURS = 192
LIFELINES = [(identity, WHO[identity]) for identity in ("P:johnnie", "D:chen", "H:b", "C:union", "H:a")]


def main() -> int:
    """Run the demonstration, to its end or to a signal's: none of its processes outlives it."""
    options = _options()
    end_in_order()
    try:
        return _perform(options)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _perform(options: argparse.Namespace) -> int:
    console = Console(width=120, highlight=False)
    with tempfile.TemporaryDirectory(prefix="medunion-demo-") as temporary, forked():
        root = options.keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        console.print("[b]medunion: a patient's visit[/b]\n")
        console.print("Setting up one public cloud, two hospitals, a medical authority, a doctor, a patient;")
        console.print("each a process with a directory and a SoftHSM token of its own ...")
        began = time.monotonic()
        with federation(root) as stage:
            doctor, patient = _people(stage)
            console.print(f"[dim]set up in {time.monotonic() - began:.0f} s[/dim]\n")
            began = time.monotonic()
            first = _visit(console, stage, doctor, patient, "first")
            second, pictures = _second_visit(console, stage, doctor, patient)
            seconds = time.monotonic() - began
            saved = root / "first-saved"
            checks = [*examine(root, first, saved, second, RECORD, CONCLUSION), *_on_screen(pictures)]
            options.page.write_text(_page(first, saved, pictures, checks, seconds), encoding="utf-8")
            code = _verdict(console, checks, seconds, options.page)
            if options.pictures and pictures:
                _save(pictures, options.pictures)
            if options.open:
                _play(console, stage, doctor, patient)
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ci/demo", description="A visit through one public cloud and two hospitals.")
    parser.add_argument("--page", type=Path, default=Path("medunion-demo.html"), help="where to write the HTML page")
    parser.add_argument(
        "--open", action="store_true", help="leave the doctor's desk and the patient's app open, to play"
    )
    parser.add_argument("--pictures", type=Path, help="write the pictures of both there, too, as PNG")
    parser.add_argument("--keep", type=Path, help="keep everybody's directories there (with their PINs)")
    return parser.parse_args()


def _people(stage: Federation) -> tuple[Path, Path]:
    doctor = stage.add_doctor("chen", "--name", "Dr. Lin Chen", "--profession", "Cardiologist")
    patient = stage.add_patient("johnnie", "a")
    run(
        *("hospital", "import", "--directory", stage.root / "a", "--patient", "P:johnnie"),
        *("--department", "cardiology", RECORD),
    )
    stage.await_publication("a")
    return doctor, patient


def _visit(console: Console, stage: Federation, doctor: Path, patient: Path, name: str) -> Visit:
    """Let the patient see the doctor at hospital B; tell it from what both said and noted."""
    traces = [stage.root / f"{name}-{who}.trace" for who in ("doctor", "patient")]
    saved = stage.root / f"{name}-saved"
    console.rule(f"[b]The {name} visit", align="left")
    running, code = stage.consult(
        *(doctor, "b", name, "--department", "cardiology", "--conclusion", CONCLUSION),
        *("--save", saved, "--trace", traces[0]),
    )
    told = run("patient", "visit", "--directory", patient, code, "--ecg", ECG, *CONSENT, "--trace", traces[1])
    story = running.wait()
    stage.await_publication("b")
    events = read_traces(*traces)
    console.print(_table(events))
    if name == "first":
        _onlooker(console, events)
    _quote(console, "The doctor saw", story.partition("Waiting for the patient ...")[2])
    _quote(console, "The patient saw", told)
    return Visit(story, told, events, answers_in(story))


def _second_visit(console: Console, stage: Federation, doctor: Path, patient: Path) -> tuple[Visit, Pictures | None]:
    """Let both see each other again, with their pages where there is a browser, as the first time where there is none."""
    browser = screens.chromium()
    if browser is None:
        console.print("[dim]Without Chromium both type again, and there are no pictures of their pages.[/dim]\n")
        return _visit(console, stage, doctor, patient, "second"), None
    console.rule("[b]The second visit, at the doctor's desk and in the patient's app", align="left")
    visit, pictures = screens.visit(browser, stage, doctor, patient, ECG, CONCLUSION)
    stage.await_publication("b")
    console.print(_table(visit.events))
    _quote(console, "The doctor's page, at the end", visit.doctor_said)
    _quote(console, "The patient's page, at the end", visit.patient_said)
    return visit, pictures


def _on_screen(pictures: Pictures | None) -> list[Check]:
    if pictures is None:
        return []
    return [Check("the pages of both asked nothing of any other computer", not pictures.elsewhere)]


def _save(pictures: Pictures, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("consent", "chart", "diagnosis"):
        picture = Image.open(io.BytesIO(getattr(pictures, name)))
        # A page has few colours: a palette holds them in a quarter of the bytes.
        picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(directory / f"{name}.png", optimize=True)


def _play(console: Console, stage: Federation, doctor: Path, patient: Path) -> None:
    """Leave both open until Ctrl-C. Enter opens their pages again: it reaches the keyboards of both."""
    readers, writers = zip(os.pipe(), os.pipe(), strict=True)
    people = (doctor, screens.desk_at(stage, "b")), (patient, screens.APP)
    for (directory, words), keyboard in zip(people, readers, strict=True):
        screens.start_pages(stage, directory, *words, keyboard=keyboard)
    console.print(
        "\n[b]Both are open for you.[/b] Where no browser came up, open these files in yours, within a minute:"
    )
    for who, directory in (("the doctor's desk", doctor), ("the patient's app", patient)):
        console.print(f"  {who:<18} {(directory / 'open.html').as_uri()}", highlight=False)
    console.print("Open a room at the desk, and give its code to the app. Enter opens both again; Ctrl-C ends it all.")
    with suppress(KeyboardInterrupt):
        while sys.stdin.readline():
            for writer in writers:
                os.write(writer, b"\n")


def _table(events: list[Event]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("ms", "message", "from", "to", "on the wire", "what it says, to who can open it"):
        table.add_column(title, justify="right" if title in {"ms", "on the wire"} else "left")
    for event in events:
        frames = f" in {event.frames} frames" if event.frames > 1 else ""
        table.add_row(
            str(event.time_ms - events[0].time_ms),
            f"[b]{event.name}[/b]",
            WHO.get(event.sender, event.sender),
            WHO.get(event.receiver, event.receiver),
            in_words(event.wire_bytes) + frames,
            f"[dim]{event.meaning}[/dim]",
        )
    return table


def _onlooker(console: Console, events: list[Event]) -> None:
    console.print(
        "\n[b]What an onlooker sees[/b] who breaks TLS or runs the relay (outside TLS: addresses, sizes, times alone)"
    )
    for event in events:
        if event.name in {"P1", "D2", "D4", "H2"}:
            console.print(f"  {event.name:<3} {event.in_clear}", markup=False, style="dim")


def _quote(console: Console, who: str, said: str) -> None:
    console.print(f"\n[b]{who}[/b]")
    for line in said.splitlines():
        if line.strip():
            console.print(f"  {line.rstrip()}", markup=False, style="dim")
    console.print()


def _page(visit: Visit, saved: Path, pictures: Pictures | None, checks: list[Check], seconds: float) -> str:
    observation = next(saved.glob("biosignal*.json")).read_bytes()
    return render(
        Page(
            checks=checks,
            electrocardiogram=svg(leads_from_observation(observation)),
            diagnosis=CONCLUSION,
            records=visit.records,
            sequence=draw(visit.events, LIFELINES),
            events=visit.events,
            seconds=seconds,
            pictures=pictures,
        )
    )


def _verdict(console: Console, checks: list[Check], seconds: float, page: Path) -> int:
    console.rule("[b]Verdict", align="left")
    for check in checks:
        console.print(f"  {'[green]held  [/green]' if check.held else '[red]FAILED[/red]'}  {check.claim}")
    held = all(check.held for check in checks)
    verdict = "[b green]The visit held, end to end" if held else "[b red]The visit did not hold"
    console.print(f"\n{verdict}[/] ({seconds:.0f} s for two visits). The page: {page.resolve()}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
