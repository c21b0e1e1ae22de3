"""What a scenario is: a name, a title, what is expected, and a short function that finds out whether it comes so."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.world import World

LONGEST_DETAIL = 2_000
_QR_CODE = re.compile("[█▀▄]{2}")


@dataclass(frozen=True)
class Finding:
    """One claim, whether it held, and what was seen where it did not."""

    claim: str
    held: bool
    seen: str = ""


@dataclass
class Findings:
    """What a scenario found."""

    all: list[Finding] = field(default_factory=list)

    def that(self, claim: str, held: object, seen: object = "") -> None:
        """Note a claim; `seen` is shown if it did not hold."""
        readable = "\n".join(line for line in str(seen).splitlines() if not _QR_CODE.search(line))
        self.all.append(Finding(claim, bool(held), readable[-LONGEST_DETAIL:]))


Act = Callable[[World, Findings], None]


@dataclass(frozen=True)
class Scenario:
    """Something that befalls the federation."""

    name: str
    title: str
    expects: str
    act: Act


@dataclass(frozen=True)
class Outcome:
    """How a scenario went."""

    scenario: Scenario
    findings: list[Finding]
    seconds: float

    @property
    def held(self) -> bool:
        """Return whether every claim held, and there was one."""
        return bool(self.findings) and all(finding.held for finding in self.findings)


KNOWN: dict[str, Scenario] = {}


def scenario(name: str, title: str, expects: str) -> Callable[[Act], Act]:
    """Add a function to the scenarios."""

    def add(act: Act) -> Act:
        KNOWN[name] = Scenario(name, title, expects, act)
        return act

    return add


def play(world: World, chosen: Scenario) -> Outcome:
    """Let a scenario happen, bring everything back, and check what must hold after every one of them."""
    began = time.monotonic()
    findings = Findings()
    for step in (chosen.act, _afterwards):
        try:
            step(world, findings)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is this scenario's outcome
            findings.that("nothing unforeseen happens", False, f"{type(fault).__name__}: {fault}")
    return Outcome(chosen, findings.all, time.monotonic() - began)


def _afterwards(world: World, findings: Findings) -> None:
    disturbed = [label for label, server in world.servers.items() if not server.is_well]
    world.heal()
    for label in disturbed:
        verify_log(world, findings, label)


def verify_log(world: World, findings: Findings, label: str) -> None:
    """Check the chain of a server's audit log."""
    said = world.servers[label].run("log", "--verify", expect=None)
    findings.that(f"the audit log of {label} verifies", "the tree holds" in said, said)
