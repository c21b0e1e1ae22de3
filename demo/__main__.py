"""`python -m demo`: two visits of one patient, told as they happen. Exit code 0 only if every claim at the end held."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.claims import Visit, examine
from demo.events import Event, in_words, read_traces
from demo.page import Check, Page, render
from demo.sequence import draw
from demo.stage import CONSENT, Federation, federation, run
from federation.clinical.drawing import svg
from federation.clinical.ecg import leads_from_observation

DATA = Path(__file__).parents[1] / "tests" / "data"
RECORD = DATA / "synthea-johnnie679.json"
ECG = DATA / "waveform_ecg.dcm"
CONCLUSION = "Sinus rhythm. No acute changes against the record of hospital A. Control in six months."
WHO = {"P:johnnie": "patient", "D:chen": "doctor", "C:union": "public cloud", "H:a": "hospital A", "H:b": "hospital B"}
LIFELINES = [(identity, WHO[identity]) for identity in ("P:johnnie", "D:chen", "H:b", "C:union", "H:a")]


def main() -> int:
    """Run the demonstration."""
    options = _options()
    console = Console(width=120, highlight=False)
    with tempfile.TemporaryDirectory(prefix="medunion-demo-") as temporary:
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
            second = _visit(console, stage, doctor, patient, "second")
            seconds = time.monotonic() - began
        checks = examine(root, first, second, RECORD, CONCLUSION)
        options.page.write_text(_page(first, checks, seconds), encoding="utf-8")
    return _verdict(console, checks, seconds, options.page)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ci/demo", description="A visit through one public cloud and two hospitals.")
    parser.add_argument("--page", type=Path, default=Path("medunion-demo.html"), help="where to write the HTML page")
    parser.add_argument("--keep", type=Path, help="keep everybody's directories there (with their PINs)")
    return parser.parse_args()


def _people(stage: Federation) -> tuple[Path, Path]:
    doctor = stage.add_doctor("chen", "--name", "Dr. Lin Chen", "--profession", "Cardiologist")
    patient = stage.add_patient("johnnie", "a")
    run(
        *("hospital", "import", "--directory", stage.root / "a", "--patient", "P:johnnie"),
        *("--department", "H:a/cardiology", RECORD),
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
    return Visit(story, told, events, saved)


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


def _page(visit: Visit, checks: list[Check], seconds: float) -> str:
    observation = next(visit.saved.glob("biosignal*.json")).read_bytes()
    return render(
        Page(
            checks=checks,
            electrocardiogram=svg(leads_from_observation(observation)),
            diagnosis=CONCLUSION,
            records=visit.records,
            sequence=draw(visit.events, LIFELINES),
            events=visit.events,
            seconds=seconds,
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
