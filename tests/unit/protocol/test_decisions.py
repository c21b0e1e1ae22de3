"""Every row of tests/decisions/ is decided as it says; every article, template and check of the decision has its rows."""

import re
from collections.abc import Sequence
from typing import TypeVar

import pytest

from federation.protocol.access import (
    Access,
    Allowed,
    Asker,
    Consent,
    Deputyship,
    Duty,
    Emergency,
    Grant,
    Grantee,
    Hidden,
    OwnAccess,
    Policy,
    Question,
    Refused,
    Standing,
    ToDepartment,
    ToDoctor,
    ToHospital,
    Validity,
    decide,
)
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.rules import RULES
from federation.protocol.statements import POWER_NAMES, RIGHT_NAMES, ROLE_NAMES, SENSITIVITY_NAMES
from keystore.identities import DoctorId, HospitalId, PatientId
from tests.decision_table import DEFAULTS, FACTS, ROOT, TABLE, Row, checks_in, read, row_files, rows

ACCESS = ROOT / "federation" / "protocol" / "access.py"
SOURCE = re.compile(r"EHDS-\d+|EPD-\d+|ePA(-[a-z0-9]+)+|finding-[A-Z]\d+|rule-[a-z]+\.\d+")
ARTICLES = {f"EHDS-{number}" for number in range(3, 12)}
TEMPLATES = {f"EPD-{number}" for number in (201, 202, 203, 301, 302, 303, 304)}
ATTACKS = (
    "another-departments-duty",
    "yesterdays-duty",
    "duty-of-a-doctor-the-hospital-doesnt-have",
    "deputy-beyond-its-powers",
    "mandate-taken-back-while-a-grant-under-it-is-used",
    "child-comes-of-age",
    "emergency-played-again",
    "emergency-at-another-hospital",
    "budgets-around-midnight",
    "clock-set-back-an-hour",
)
GROUNDS = {"consent", "own", "deputy", "emergency"}
NOT_ON_FILE = "not-on-file"
V = TypeVar("V", bound=int)


def value(word: str, names: dict[V, str]) -> V:
    """Return an enum's value by its word; "unspecified" and numbers are values that no word has."""
    if word == "unspecified" or word.isdigit():
        return int(word.replace("unspecified", "0"))  # type: ignore[return-value] # one that nobody knows
    (found,) = (value for value, name in names.items() if name == word)
    return found


def values(words: Sequence[str], names: dict[V, str]) -> tuple[V, ...]:
    return tuple(value(word, names) for word in words)


def validity(row: Row, what: str) -> Validity:
    return Validity(row.time(f"{what}.not_before"), row.time(f"{what}.not_after"))


def grantee_of(parts: Sequence[str]) -> Grantee | None:
    match parts:
        case ["doctor", doctor_id, authority_id]:
            return ToDoctor(DoctorId(doctor_id), authority_id)
        case ["department", hospital_id, department_class]:
            return ToDepartment(HospitalId(hospital_id), department_class)
        case ["hospital", hospital_id]:
            return ToHospital(HospitalId(hospital_id))
        case []:
            return None
        case _:
            raise ValueError(parts)


def grant_of(row: Row) -> Grant:
    return Grant(
        id=bytes(16),
        patient_id=PatientId(row.text("grant.patient")),
        signer_id=PatientId(row.text("grant.signer")),
        grantee=grantee_of(row.listed("grant.grantee")),
        hospitals=row.listed("grant.hospitals"),
        department_classes=row.listed("grant.classes"),
        highest_sensitivity=value(row.text("grant.highest"), SENSITIVITY_NAMES),
        rights=values(row.listed("grant.rights"), RIGHT_NAMES),
        stated_at=row.time("grant.stated_at"),
        validity=validity(row, "grant"),
    )


def deputyship_of(row: Row) -> Deputyship | None:
    kind = row.known("deputyship.kind")
    if kind is None:
        return None
    return Deputyship(
        kind=kind,
        id=bytes(16),
        stated_by=row.text("deputyship.patient") if kind == "mandate" else "H:alpha",
        patient_id=PatientId(row.text("deputyship.patient")),
        deputy_id=PatientId(row.text("deputyship.deputy")),
        powers=values(row.listed("deputyship.powers"), POWER_NAMES),
        stated_at=row.time("deputyship.stated_at"),
        validity=validity(row, "deputyship"),
    )


def duty_of(row: Row) -> Duty | None:
    hospital_id = row.known("duty.hospital")
    if hospital_id is None:
        return None
    return Duty(
        id=bytes(16),
        hospital_id=HospitalId(hospital_id),
        doctor_id=DoctorId(row.text("duty.doctor")),
        department_classes=row.listed("duty.classes"),
        validity=validity(row, "duty"),
    )


def emergency_of(row: Row) -> Emergency:
    duty, second = duty_of(row), row.known("emergency.second")
    assert duty is not None, "an emergency is shown with a duty"
    return Emergency(
        id=bytes(16),
        patient_id=PatientId(row.text("emergency.patient")),
        doctor_id=DoctorId(row.text("emergency.doctor")),
        hospital=row.text("emergency.hospital"),
        reason_code=row.text("emergency.reason"),
        second_doctor_id=None if second is None else DoctorId(second),
        validity=validity(row, "emergency"),
        duty=duty,
    )


def access_of(row: Row) -> Access | None:
    match row.text("ground"):
        case "consent":
            return Consent(grant_of(row), deputyship_of(row), duty_of(row))
        case "own":
            return OwnAccess(deputyship_of(row))
        case "emergency":
            return emergency_of(row)
        case "none":
            return None
        case other:
            raise ValueError(other)


def question_of(row: Row) -> Question:
    right, hospital_id = row.known("question.right"), row.known("question.hospital")
    return Question(
        asker=Asker(value(row.text("asker.role"), ROLE_NAMES), row.text("asker.id"), row.known("asker.authority")),
        right=None if right is None else value(right, RIGHT_NAMES),
        patient_id=PatientId(row.text("question.patient")),
        hospital_id=None if hospital_id is None else HospitalId(hospital_id),
        department_class=row.known("question.class"),
    )


def standing_of(row: Row) -> Standing:
    hidden = [Hidden(*triple.split("/")) for triple in row.listed("standing.hidden")]
    overrides, exhausted = row.is_so("standing.emergency_overrides"), row.listed("standing.exhausted")
    return Standing(frozenset(row.listed("standing.revoked")), hidden, overrides, frozenset(exhausted))


def policy_of(row: Row) -> Policy:
    reasons, classes = frozenset(row.listed("policy.reasons")), row.listed("policy.duty_classes")
    emergency = EmergencyPolicy(reasons, classes, row.is_so("policy.second")) if row.is_so("policy.emergency") else None
    return Policy(int(row.text("policy.skew")) * 1000, emergency)


def shows(row: Row, allowed: Allowed) -> bool:
    hospital_id = row.known("record.hospital")
    if hospital_id is None:
        return True
    sensitivity = value(row.text("record.sensitivity"), SENSITIVITY_NAMES)
    return allowed.shows(hospital_id, row.text("record.class"), row.text("record.handle"), sensitivity)


def decided(row: Row) -> str:
    decision = decide(access_of(row), question_of(row), standing_of(row), policy_of(row), now=row.time("now"))
    if isinstance(decision, Refused):
        return decision.reason
    return decision.ground if shows(row, decision) else NOT_ON_FILE


ROWS = list(rows())


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_row_is_decided_as_it_says(row: Row) -> None:
    assert decided(row) == row.expect


def test_table_has_at_least_420_rows_and_no_name_twice() -> None:
    names = [row.name for row in ROWS]
    assert len(names) >= 420
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_every_file_has_the_form_that_its_page_states() -> None:
    assert (TABLE / "defaults.csv").read_text(encoding="ascii").splitlines()[0] == "column,default,meaning"
    for path in sorted(TABLE.glob("*.csv")):
        header, *lines = path.read_bytes().decode("ascii").removesuffix("\n").split("\n")
        assert [line for line in lines if line.count(",") != header.count(",") or re.search(r'["\r]', line)] == []


def test_every_file_has_the_columns_that_it_varies_in_their_order() -> None:
    varied: set[str] = set()
    for path in row_files():
        listed = read(path)
        here = {column for row in listed for column, cell in row.items() if cell} - set(FACTS)
        assert list(listed[0]) == ["name", "source", *(column for column in DEFAULTS if column in here), "expect"]
        varied |= here
    assert varied == set(DEFAULTS)


def test_every_outcome_is_a_ground_a_reason_or_not_on_file() -> None:
    reasons = {rule.reason for rule in RULES}
    assert {row.expect for row in ROWS} - GROUNDS - {NOT_ON_FILE} <= reasons
    assert {row.expect for row in ROWS} >= GROUNDS | {NOT_ON_FILE}
    assert [row.name for row in ROWS if row.expect == NOT_ON_FILE and row.known("record.hospital") is None] == []


def test_every_source_is_of_a_known_form_and_every_finding_exists() -> None:
    assert [row.name for row in ROWS if not SOURCE.fullmatch(row.source)] == []
    findings = set(re.findall(r"^\| ([A-Z]\d+)\b", (ROOT / "docs" / "findings.md").read_text(), re.MULTILINE))
    named = {row.source.removeprefix("finding-") for row in ROWS if row.source.startswith("finding-")}
    assert named
    assert named <= findings


def test_every_article_and_template_has_its_rows() -> None:
    sources = {row.source for row in ROWS}
    assert {source for source in sources if source.startswith("EHDS-")} == ARTICLES
    assert {source for source in sources if source.startswith("EPD-")} == TEMPLATES


def test_every_check_of_the_decision_has_a_row_for_its_reason() -> None:
    """Each number in access.py: refused by a row of that source, with a reason that stands at its line."""
    found = {number: reasons for number, reasons in checks_in(ACCESS).items() if number[0].islower()}
    named = {row.source.removeprefix("rule-") for row in ROWS if row.source.startswith("rule-")}
    assert named == set(found)
    for number, reasons in found.items():
        expected = {row.expect for row in ROWS if row.source == f"rule-{number}"}
        assert expected & reasons if reasons else expected - GROUNDS, number


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_of_the_design_has_rows(attack: str) -> None:
    assert [row for row in ROWS if row.name.startswith(attack)]
