"""Attacks of an enrolment desk, or of a thief of its TLS identity and keys: it enrols people who never came."""

import pytest

from federation.errors import BudgetExhausted
from federation.settings import CloudBudgetSettings
from tests.e2e.cloud_lab import Serve


def test_desk_enrols_no_more_people_in_a_day_than_its_budget_and_nobody_else_is_hit(serve_cloud: Serve) -> None:
    with serve_cloud(budgets=CloudBudgetSettings(tickets_per_hospital_a_day=2)) as cloud:
        (thief, client), (honest, other) = cloud.hospital("H:robbed"), cloud.hospital("H:honest")
        for patient_id in ("P:one", "P:two", "P:one"):  # another ticket for the same person costs no more
            assert client.issue_ticket(thief, patient_id).ticket
        for _ in range(2):
            with pytest.raises(BudgetExhausted):
                client.issue_ticket(thief, "P:three")
        assert client.issue_ticket(thief, "P:two").ticket
        assert other.issue_ticket(honest, "P:three").ticket
        reasons = [entry.event.reason for entry in cloud.node.cloud.audit.entries() if entry.event.kind == "REFUSAL"]
        assert reasons == ["BUDGET_EXHAUSTED"] * 2


def test_desk_without_a_budget_enrols_whom_it_will(serve_cloud: Serve) -> None:
    with serve_cloud() as cloud:
        member, client = cloud.hospital("H:busy")
        for number in range(3):
            assert client.issue_ticket(member, f"P:{number}").ticket
