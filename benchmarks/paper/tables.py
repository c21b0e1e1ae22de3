"""Tables: the paper's as data, ours as counted, both in the paper's symbols; and the parts of docs/paper-tables.md."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.paper.counting import OPERATIONS, Step
from benchmarks.paper.visit import PHASES

SYMBOLS: Final = ("T_Sign", "T_A", "T_M", "T_P", "T_S", "T_H")
PAPERS_PHASES: Final = ("consultation", "search", "diagnosis")
EMPTY, FULL = "empty", "full"
"""Whether a step found every memory empty, or as the steps and visits before it left them."""

_HERE: Final = Path(__file__).parent
COUNTED: Final = _HERE / "operations.tsv"
PAGE: Final = _HERE.parents[1] / "docs" / "paper-tables.md"
_HEAD: Final = ("memories", "phase", "party", "step", *OPERATIONS, "bytes")


@dataclass(frozen=True)
class Scheme:
    """One column of the paper's tables: by phase, how often each symbol, and bits; `total` is a phase, as printed."""

    name: str
    operations: Mapping[str, Counter[str]]
    bits: Mapping[str, int]


def schemes() -> dict[str, Scheme]:
    """Return the paper's schemes, and what its own equations take."""
    with (_HERE / "chen-2020.toml").open("rb") as file:
        read = tomllib.load(file)["schemes"]
    return {
        key: Scheme(it["name"], {phase: Counter(of) for phase, of in it["operations"].items()}, it.get("bits", {}))
        for key, it in read.items()
    }


def in_symbols(counted: Mapping[str, int]) -> Counter[str]:
    """Return counted operations in the paper's symbols.

    A seal or its opening is one T_A, with all that belongs to it: of P-256 an ephemeral key and a multiplication, or one
    multiplication in the token; one AES-256-GCM, one SHA3-256, and five HMACs of HPKE's key schedule.
    """
    sealed, opened = counted["encapsulate"], counted["decapsulate"]
    both = sealed + opened
    return Counter(
        {
            "T_Sign": counted["sign"] + counted["recheck"] + counted["verify"],
            "T_A": both,
            "T_M": counted["multiply"] + counted["agree"] - 2 * sealed - opened,
            "T_S": counted["aead"] - both,
            "T_H": counted["hash"] + counted["hmac"] + counted["token_hmac"] - 6 * both,
        }
    )


def summed(steps: Iterable[Step], phase: str) -> Counter[str]:
    """Return the operations of all parties in a phase."""
    total: Counter[str] = Counter()
    for step in steps:
        if step.phase == phase:
            total += step.operations
    return total


def sent(steps: Iterable[Step], phase: str) -> int:
    """Return the bytes of all messages of a phase."""
    return sum(step.sends for step in steps if step.phase == phase)


def written(counted: Mapping[str, Sequence[Step]]) -> str:
    """Return the data file: one row a step."""
    rows = [_HEAD, *((memories, *step.row()) for memories, steps in counted.items() for step in steps)]
    return "".join("\t".join(row) + "\n" for row in rows)


def read() -> dict[str, list[Step]]:
    """Return what the data file says."""
    counted: dict[str, list[Step]] = {FULL: [], EMPTY: []}
    head, *rows = (line.split("\t") for line in COUNTED.read_text().splitlines())
    assert tuple(head) == _HEAD
    for memories, phase, party, name, *numbers in rows:
        operations = Counter(dict(zip(OPERATIONS, map(int, numbers), strict=False)))
        counted[memories].append(Step(phase, party, name, operations, int(numbers[-1])))
    return counted


def formula(counted: Mapping[str, int]) -> str:
    """Return a sum of symbols as the paper writes it."""
    return " + ".join(f"{counted[symbol]} {symbol}" for symbol in SYMBOLS if counted.get(symbol)) or "-"


def parts(counted: Mapping[str, Sequence[Step]]) -> dict[str, str]:
    """Return the tables of the page by their names."""
    return {
        "operations": _table(_symbol_rows(counted)),
        "bytes": _table(_byte_rows(counted[FULL])),
        "steps": _table(_step_rows(counted)),
        "messages": _table(_message_rows(counted[FULL])),
    }


def with_parts(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with the tables between their marks."""
    for name, table in tables.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(begin)
        if not found:
            raise ValueError(f"The page has no place for the table {name!r}.")
        page = before + begin + table + end + rest.partition(end)[2]
    return page


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _symbol_rows(counted: Mapping[str, Sequence[Step]]) -> Iterator[list[str]]:
    yield ["scheme", *(PHASES[phase] for phase in PAPERS_PHASES)]
    for scheme in schemes().values():
        yield [scheme.name, *(formula(scheme.operations[phase]) for phase in PAPERS_PHASES)]
    for memories in (FULL, EMPTY):
        ours = [formula(in_symbols(summed(counted[memories], phase))) for phase in PAPERS_PHASES]
        yield [f"ours, memories {memories}", *ours]


def _byte_rows(steps: Sequence[Step]) -> Iterator[list[str]]:
    yield ["scheme", *(PHASES[phase] for phase in PAPERS_PHASES), "in all"]
    for scheme in schemes().values():
        if scheme.bits:
            yield [scheme.name, *(f"{scheme.bits[phase] / 8:,.0f}" for phase in (*PAPERS_PHASES, "total"))]
    ours = [sent(steps, phase) for phase in PAPERS_PHASES]
    yield ["ours", *(f"{size:,}" for size in (*ours, sum(ours)))]


def _step_rows(counted: Mapping[str, Sequence[Step]]) -> Iterator[list[str]]:
    yield ["phase", "party", *(name.replace("_", " ") for name in OPERATIONS)]
    for phase, title in PHASES.items():
        for party in ("patient", "doctor", "public cloud", "hospital"):
            full, empty = (_of_party(counted[memories], phase, party) for memories in (FULL, EMPTY))
            if full:
                yield [title, party, *(_both(full[name], empty[name]) for name in OPERATIONS)]


def _of_party(steps: Iterable[Step], phase: str, party: str) -> Counter[str]:
    return summed((step for step in steps if step.party == party), phase)


def _both(full: int, empty: int) -> str:
    return str(full or "") if full == empty else f"{full} / {empty}"


def _message_rows(steps: Iterable[Step]) -> Iterator[list[str]]:
    yield ["phase", "sent by", "step", "bytes"]
    for step in steps:
        if step.sends:
            yield [PHASES[step.phase], step.party, step.name, f"{step.sends:,}"]
