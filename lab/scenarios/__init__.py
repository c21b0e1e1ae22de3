"""The scenarios, in the order in which they are played."""

from lab.scenario import KNOWN
from lab.scenarios import clocks, crashes, dark, ledger, links, people, stores, visits

SCENARIOS = {
    name: known
    for module in (visits, people, links, crashes, stores, clocks, ledger, dark)
    for name, known in KNOWN.items()
    if known.act.__module__ == module.__name__
}
