"""What the lab says: a line for each scenario as it ends, and a table of all of them."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from lab.scenario import Outcome


def tell(console: Console, outcome: Outcome) -> None:
    """Print a scenario's line, and under it the claims that did not hold."""
    console.print(
        f"{_verdict(outcome)} {outcome.seconds:5.1f} s  [b]{outcome.scenario.name:<22}[/b] {outcome.scenario.title}"
    )
    for finding in outcome.findings:
        if not finding.held:
            console.print(f"       [red]not so:[/red] {finding.claim}", highlight=False)
            for line in finding.seen.splitlines():
                console.print(f"         {line}", markup=False, style="dim")


def conclude(console: Console, outcomes: Sequence[Outcome], set_up: float) -> bool:
    """Print the table and the verdict; say whether everything held."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "seconds", "scenario", "what came of it"):
        table.add_column(title, justify="right" if title == "seconds" else "left")
    for outcome in outcomes:
        table.add_row(_verdict(outcome), f"{outcome.seconds:.1f}", outcome.scenario.name, outcome.scenario.expects)
    console.print()
    console.print(table)
    held = sum(outcome.held for outcome in outcomes)
    claims = sum(len(outcome.findings) for outcome in outcomes)
    total = set_up + sum(outcome.seconds for outcome in outcomes)
    console.print(
        f"\n{held} of {len(outcomes)} scenarios held, {claims} claims checked, in {total:.0f} s ({set_up:.0f} s to set up)."
    )
    return bool(outcomes) and held == len(outcomes)


def _verdict(outcome: Outcome) -> str:
    return "[green]held  [/green]" if outcome.held else "[b red]FAILED[/b red]"
