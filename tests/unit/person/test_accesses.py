"""A look at who read, of a hospital that really serves: what it proves, and what a hospital that lies is caught at."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from federation.clinical.audit_events import PROOF
from federation.errors import FieldInvalid, HeadConflict, LeafMismatch
from federation.party import told_logs
from federation.party.audit import Audit, LogPage
from federation.party.patients import LogPlace
from federation.party.told_logs import ToldPage
from federation.person.accesses import AccessList, AccessReading
from federation.person.patient import PatientClient
from federation.protocol.access import AccessEvent
from federation.protocol.judged_logs import LOG_FORK
from federation.protocol.log_head import LogHead, Origin, peek_head, sign_head
from federation.v1.access_pb2 import AccessEntry, ProvedHead
from federation.v1.statement_pb2 import POWER_LOG
from keystore.identities import HospitalId, PatientId
from tests.unit.person.conftest import Surgery

NAMED = [("H:alpha", "localhost:1")]


def look(surgery: Any, client: PatientClient) -> AccessList:
    reading = AccessReading(client, surgery.federation.patient.identity, "C:union", None, lambda _: None)
    found = reading.all(NAMED)
    reading.remember()
    return found


def logged(surgery: Any, *reasons: str) -> None:
    for number, reason in enumerate(reasons):
        event = AccessEvent("READ", "D:chen", "P:wang", "*", b"", "none", reason)
        surgery.lab.hospital.audit.record(event, now=surgery.federation.clock.now + number)


def lying(monkeypatch: pytest.MonkeyPatch, lie: Callable[[list[AccessEntry]], list[AccessEntry]]) -> None:
    """Have the hospital say something else than its log."""
    told = Audit.log_of

    def log_of(self: Audit, *args: Any, **kwargs: Any) -> LogPage:
        page = told(self, *args, **kwargs)
        return replace(page, accesses=tuple(lie(list(page.accesses))))

    monkeypatch.setattr(Audit, "log_of", log_of)


def test_look_says_by_what_it_is_proved_and_what_is_new(surgery: Any) -> None:
    client = surgery.patient()
    logged(surgery, "GRANT_MISSING")
    first = look(surgery, client)
    assert [it.is_new for it in first.told] == [True]
    (proof,) = first.proofs
    size = first.logs["H:alpha"].head.head.size
    assert (
        proof
        == f"Proved in the log of H:alpha, head {size}. NOT WITNESSED: cosigned by 0, and the federation asks for 1."
    )
    logged(surgery, "GRANT_EXPIRED")
    second = look(surgery, client)
    assert [it.access.reason for it in second.told if it.is_new] == ["GRANT_EXPIRED"]
    assert (second.missing, second.warnings) == ({}, [])
    assert second.logs["H:alpha"].head.head.size > size


def test_hospital_that_says_that_somebody_else_read_is_missing_leaf_mismatch(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(surgery, "GRANT_MISSING")

    def lie(entries: list[AccessEntry]) -> list[AccessEntry]:
        entries[0].asker_id = "D:roe"
        return entries

    lying(monkeypatch, lie)
    found = look(surgery, surgery.patient())
    assert {party: type(error) for party, error in found.missing.items()} == {"H:alpha": LeafMismatch}
    assert found.told == []


def test_entry_that_is_left_out_is_not_seen_at_a_first_look_and_is_at_the_next(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One patient alone can't see what nobody ever showed it."""
    logged(surgery, "GRANT_MISSING", "GRANT_EXPIRED", "GRANT_REVOKED")
    client = surgery.patient()
    assert look(surgery, client).warnings == []

    def without_the_oldest(entries: list[AccessEntry]) -> list[AccessEntry]:
        left = [it for it in entries if it.reason != "GRANT_MISSING"]
        for number, entry in enumerate(reversed(left), start=1):
            entry.number = number
        return left

    lying(monkeypatch, without_the_oldest)
    (warning,) = look(surgery, client).warnings
    assert warning.startswith("H:alpha told you of 1 more at an earlier look")
    assert look(surgery, surgery.patient(surgery.federation.patient)).missing == {}


def test_number_that_is_missing_is_said(surgery: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    logged(surgery, "GRANT_MISSING", "GRANT_EXPIRED", "GRANT_REVOKED")
    lying(monkeypatch, lambda entries: [it for it in entries if it.reason != "GRANT_EXPIRED"])
    (warning,) = look(surgery, surgery.patient()).warnings
    assert warning.startswith("H:alpha counts 1 more about you")


def reading_of(surgery: Any, client: PatientClient, **how: Any) -> AccessReading:
    return AccessReading(client, surgery.federation.patient.identity, "C:union", None, lambda _: None, **how)


def many(surgery: Any, monkeypatch: pytest.MonkeyPatch, number: int = 5, a_page: int = 2) -> None:
    """Have more entries than one answer holds."""
    logged(surgery, *("GRANT_MISSING",) * number)
    monkeypatch.setattr("federation.protocol.record_hospital.MOST_LOGGED", a_page)


def test_every_page_of_a_log_is_read_below_one_head_and_told_as_it_comes(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(surgery, monkeypatch)
    seen: list[int] = []
    found = reading_of(surgery, surgery.patient(), on_page=lambda told: seen.append(len(told.entries))).all(NAMED)
    assert seen == [2, 4, 5]
    assert [it.access.number for it in found.told] == [5, 4, 3, 2, 1]
    assert (found.missing, found.warnings, found.with_older) == ({}, [], [])


def test_older_pages_are_read_one_by_one_and_what_was_new_stays_new(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = surgery.patient()
    many(surgery, monkeypatch)
    first = reading_of(surgery, client, most_pages=1)
    found = first.all(NAMED)
    first.remember()
    assert [it.access.number for it in found.told] == [5, 4]
    assert (found.warnings, found.with_older) == ([], ["H:alpha"])
    while found.with_older:
        reading = reading_of(surgery, client, most_pages=1)
        found = reading.older(found, HospitalId("H:alpha"))
        reading.remember()
    assert [(it.access.number, it.is_new) for it in found.told] == [(n, True) for n in (5, 4, 3, 2, 1)]
    assert (found.missing, found.warnings) == ({}, [])
    assert all(not it.is_new for it in look(surgery, client).told if it.access.entry.reason == "GRANT_MISSING")


def cut(monkeypatch: pytest.MonkeyPatch, lie: Callable[[ToldPage], ToldPage]) -> None:
    """Have the hospital lead elsewhere than to the next page."""
    true = told_logs.tell

    def tell(*args: Any) -> ToldPage:
        return lie(true(*args))

    monkeypatch.setattr("federation.hospital.sessions.tell", tell)


def test_page_that_a_hospital_leaves_out_is_seen_by_its_numbers(surgery: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two, and behind the last: without it, what is older was not missed."""
    many(surgery, monkeypatch)

    def skip(page: ToldPage) -> ToldPage:
        is_first = page.accesses[0].number == 5
        return replace(page, after=LogPlace(page.after.sequence - 2)) if is_first and page.after else page

    cut(monkeypatch, skip)
    found = look(surgery, surgery.patient())
    assert [it.access.number for it in found.told] == [5, 4, 1]
    assert [it.partition(":")[0] for it in found.warnings] == ["H"]
    assert found.warnings[0].startswith("H:alpha counts 2 more about you")


def test_hospital_that_says_that_a_page_is_the_last_is_seen_by_its_numbers(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(surgery, monkeypatch)
    cut(monkeypatch, lambda page: replace(page, after=None))
    (warning,) = look(surgery, surgery.patient()).warnings
    assert warning.startswith("H:alpha counts 3 more about you")


def test_hospital_that_leads_to_the_same_page_again_is_missing_field_invalid(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(surgery, monkeypatch)
    cut(monkeypatch, lambda page: replace(page, after=page.after and LogPlace(page.accesses[0].leaf_index + 2)))
    found = look(surgery, surgery.patient())
    assert {party: type(error) for party, error in found.missing.items()} == {"H:alpha": FieldInvalid}


def test_hospital_whose_further_page_is_of_a_fork_is_missing_and_both_heads_are_evidence(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(surgery, monkeypatch)
    member = surgery.lab.hospital.member
    key = member.party(surgery.federation.clock.now).signing_key

    def fork(page: ToldPage) -> ToldPage:
        """An empty page below another root of the first head's size."""
        if page.accesses[0].number == 5:
            return page
        note = sign_head(replace(peek_head(page.log_head.note), root=bytes(32)), key)
        return ToldPage((), ProvedHead(note=note), None)

    cut(monkeypatch, fork)
    client = surgery.patient()
    found = look(surgery, client)
    assert {party: type(error) for party, error in found.missing.items()} == {"H:alpha": HeadConflict}
    assert len(list(client.book.all(LOG_FORK))) == 1


@pytest.fixture
def deputy(surgery: Surgery) -> PatientClient:
    """P:lin, who may see who read P:wang's records."""
    found = surgery.patient(surgery.federation.other_patient)
    handed = surgery.patient().consents.appoint(PatientId("P:lin"), (POWER_LOG,), timedelta(days=1))
    found.consents.accept(handed.SerializeToString())
    return found


def as_deputy(client: PatientClient) -> AccessList:
    reading = AccessReading(client, PatientId("P:lin"), "C:union", PatientId("P:wang"), lambda _: None)
    found = reading.all(NAMED)
    reading.remember()
    return found


def test_deputy_reads_every_page_and_checks_it_as_the_patient_does(
    surgery: Surgery, deputy: PatientClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(surgery, monkeypatch)
    found = as_deputy(deputy)
    assert [it.access.number for it in found.told] == [5, 4, 3, 2, 1]
    assert (found.patient_id, found.missing, found.warnings) == ("P:wang", {}, [])
    assert [it.partition(",")[0] for it in found.proofs] == ["Proved in the log of H:alpha"]
    assert deputy.known_logs.head("H:alpha") == found.logs["H:alpha"].head


def test_deputy_is_told_that_an_entry_is_not_what_its_leaf_says(
    surgery: Surgery, deputy: PatientClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(surgery, "GRANT_MISSING")

    def lie(entries: list[AccessEntry]) -> list[AccessEntry]:
        entries[0].asker_id = "D:roe"
        return entries

    lying(monkeypatch, lie)
    assert {party: type(error) for party, error in as_deputy(deputy).missing.items()} == {"H:alpha": LeafMismatch}


def test_export_says_by_what_each_entry_is_proved(surgery: Any) -> None:
    logged(surgery, "GRANT_MISSING")
    found = look(surgery, surgery.patient())
    (entry,) = json.loads(found.as_fhir(now=surgery.federation.clock.now))["entry"]
    (proof,) = [it for it in entry["resource"]["extension"] if it["url"] == PROOF]
    said = {it["url"]: it["valueString"] for it in proof["extension"]}
    head = found.logs["H:alpha"].head.head
    leaf = str(found.told[0].access.entry.leaf_index)
    assert said == {"origin": head.origin, "size": str(head.size), "root": head.root.hex(), "leaf": leaf}


def test_hospital_that_shows_a_fork_is_missing_and_both_heads_are_evidence(
    surgery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(surgery, "GRANT_MISSING")
    client = surgery.patient()
    told = look(surgery, client).logs["H:alpha"]
    member = surgery.lab.hospital.member
    head = told.head.head
    origin = str(Origin.of(member.anchors.realm, "H:alpha"))
    note = sign_head(LogHead(origin, head.size, bytes(32)), member.party(surgery.federation.clock.now).signing_key)
    client.known_logs.keep("H:alpha", replace(told.head, head=replace(head, root=bytes(32)), note=note))
    monkeypatch.setattr("federation.party.told_logs._covering", lambda own, _size: own.heads.get(1, head.size))
    monkeypatch.setattr(Audit, "log_of", lambda *_args, **_kwargs: LogPage((), None))
    found = look(surgery, client)
    assert {party: type(error) for party, error in found.missing.items()} == {"H:alpha": HeadConflict}
    (kept,) = client.book.all(LOG_FORK)
    assert kept.exhibit.openings["known"] == note
