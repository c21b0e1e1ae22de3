"""docs/protocol.md and the code number the same checks, and the page's drawings have the names of the code's states.

An item is `- `P1.4` IDENTITY_MISMATCH: ...`: its number, the reasons for which it refuses or the list of checks that it goes
through, and what is required. In the code a number stands as a comment, `# P1.4`, at the line that checks.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from federation.clinical.errors import ClinicalError
from federation.errors import FederationError
from keystore.errors import KeystoreError
from tests.documents.conftest import ROOT

PAGE = ROOT / "docs" / "protocol.md"
CODE = ROOT / "federation"
ITEM = re.compile(r"^- `(?P<name>[A-Za-z]+\d?)\.(?P<number>\d+)` (?P<refusal>[^:\n]+): \S", re.MULTILINE)
LIST = re.compile(r"(?P<name>[A-Za-z]+\d?)(\.(?P<first>\d+)(-(?P<last>\d+))?)?")
COMMENT = re.compile(r"# [A-Za-z]+\d?\.\d+(, [A-Za-z]+\d?\.\d+)*")
REASONS = re.compile(r"[A-Z_]+(, [A-Z_]+)*")


def items(page: str) -> dict[str, str]:
    """Give the page's checks in their order: number -> reasons, or list."""
    return {f"{found['name']}.{found['number']}": found["refusal"] for found in ITEM.finditer(page)}


def miscounted(page: str) -> list[str]:
    """Give the lists whose items are not 1, 2, 3 and so on."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for found in ITEM.finditer(page):
        numbers[found["name"]].append(int(found["number"]))
    return [name for name, counted in numbers.items() if counted != list(range(1, len(counted) + 1))]


def unknown_refusals(checks: Mapping[str, str], reasons: Iterable[str]) -> list[str]:
    """Give the checks that name neither reasons of the vocabulary nor checks of the page."""
    known = set(reasons)
    return [number for number, refusal in checks.items() if not _is_known(refusal, checks, known)]


def _is_known(refusal: str, checks: Mapping[str, str], reasons: set[str]) -> bool:
    if REASONS.fullmatch(refusal):
        return set(refusal.split(", ")) <= reasons
    return all(_is_list(name, checks) for name in refusal.split(", "))


def _is_list(name: str, checks: Mapping[str, str]) -> bool:
    found = LIST.fullmatch(name)
    if found is None:
        return False
    named = [found["first"] or "1", found["last"] or found["first"] or "1"]
    return all(f"{found['name']}.{number}" in checks for number in named)


def numbers_of(source: str) -> Iterator[str]:
    """Give the numbers that stand in a module's comments."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and COMMENT.fullmatch(token.string):
            yield from token.string.removeprefix("# ").split(", ")


def placed() -> dict[str, list[str]]:
    """Give the numbers of the code, and in which modules each stands."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(CODE.rglob("*.py")):
        for number in numbers_of(path.read_text()):
            found[number].append(str(path.relative_to(ROOT)))
    return found


def states(page: str) -> set[str]:
    """Give the states that the page draws."""
    drawings = re.findall(r"^```mermaid\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    arrows = [arrow for drawing in drawings for arrow in re.findall(r"(\S+) --> ([^\s:]+)", drawing)]
    return {state for arrow in arrows for state in arrow} - {"[*]"}


def classes() -> set[str]:
    """Give the classes of the protocol."""
    trees = [ast.parse(path.read_text()) for path in (CODE / "protocol").rglob("*.py")]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _reasons(*roots: type[Exception]) -> Iterator[str]:
    for root in roots:
        yield root.reason  # type: ignore[attr-defined] # every family has one
        yield from _reasons(*root.__subclasses__())


VOCABULARY = frozenset(_reasons(FederationError, KeystoreError, ClinicalError))


def test_every_list_counts_its_checks_from_one() -> None:
    assert miscounted(PAGE.read_text()) == []


def test_every_check_names_its_reason_or_a_list_of_the_page() -> None:
    checks = items(PAGE.read_text())
    assert len(checks) > 250
    assert unknown_refusals(checks, VOCABULARY) == []


def test_every_number_in_the_code_has_its_check() -> None:
    assert placed().keys() - items(PAGE.read_text()).keys() == set()


def test_a_list_with_a_gap_or_a_number_twice_is_found() -> None:
    page = "- `P1.1` STALE: a\n- `P1.2` STALE: b\n- `D2.1` STALE: c\n- `D2.3` STALE: d\n- `C.1` STALE: e\n- `C.1` STALE: f\n"
    assert miscounted(page) == ["D2", "C"]


def test_a_check_without_a_known_reason_or_list_is_found() -> None:
    checks = {"cred.1": "STALE", "P1.1": "cred", "P1.2": "cred.1-2", "P1.3": "SOME_REASON", "P1.4": "STALE, cred"}
    assert unknown_refusals(checks, {"STALE"}) == ["P1.2", "P1.3", "P1.4"]


def test_numbers_are_read_from_comments_alone() -> None:
    source = 'text = "# P1.1"\nstep()  # P1.2, D3.2\n# D2.9\nother()  # see P1.3\n'
    assert list(numbers_of(source)) == ["P1.2", "D3.2", "D2.9"]


def test_a_number_without_its_check_is_found() -> None:
    assert set(numbers_of("step()  # P1.99\n")) - items(PAGE.read_text()).keys() == {"P1.99"}


def test_every_check_of_the_page_stands_in_the_code() -> None:
    assert items(PAGE.read_text()).keys() - placed().keys() == set()


def test_every_state_of_the_drawings_is_a_class_of_the_protocol() -> None:
    assert states(PAGE.read_text()) - classes() == set()


def test_a_check_or_a_state_that_the_code_has_not_is_found() -> None:
    page = PAGE.read_text() + "- `P1.99` STALE: x\n```mermaid\n    [*] --> AwaitingNobody: begin\n```\n"
    assert items(page).keys() - placed().keys() == {"P1.99"}
    assert states(page) - classes() == {"AwaitingNobody"}
