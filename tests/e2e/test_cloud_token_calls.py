"""How many calls of PKCS#11 the public cloud's token gets for a step: a network HSM is a round trip away at each."""

from collections import Counter

import pytest

from federation.cloud.registration import shared_key_context
from keystore.keyring import Together
from tests.e2e.cloud_lab import CloudLab
from tests.token_calls import AGREES, MACS, SIGNS, TIMES, TokenCalls


@pytest.mark.parametrize("rows", [0, 1, 8])
def test_a_search_again_opens_its_question_and_signs_its_answer(
    lab: CloudLab, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    hospital = lab.hospital(f"H:calls-{rows}")
    patient, doctor = lab.patient(f"P:calls-{rows}", hospital), lab.doctor(f"D:calls-{rows}")
    for _ in range(rows):
        lab.publish(hospital, patient.identity, "cardiology")
    client, question, token = lab.client(), lab.question(patient, doctor), lab.node.cloud.keys.token
    assert len(client.search(doctor, question).locations) == rows
    found = TokenCalls(monkeypatch).of(token, lambda: client.search(doctor, question))
    assert found == Counter(AGREES + SIGNS)


def test_a_first_search_asks_for_its_own_key_the_patient_what_it_hides_and_each_class_whoever_asked_before(
    lab: CloudLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody learns by the time that an answer takes that another one asked about the patient."""
    hospital = lab.hospital("H:apart")
    patient, token = lab.patient("P:apart", hospital), lab.node.cloud.keys.token
    for _ in range(2):
        lab.publish(hospital, patient.identity, "cardiology")
    doctors = iter([lab.doctor(f"D:apart-{number}") for number in range(1 + TIMES)])
    client = lab.client()
    asked = {doctor.identity: (doctor, lab.question(patient, doctor)) for doctor in doctors}
    steps = iter(asked.values())
    found = TokenCalls(monkeypatch).of(token, lambda: client.search(*next(steps)))
    assert found == Counter(AGREES + SIGNS + 4 * MACS)


def test_a_publication_again_opens_its_call_and_signs_its_receipt(
    lab: CloudLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital, token = lab.hospital("H:publishes"), lab.node.cloud.keys.token
    found = TokenCalls(monkeypatch).of(token, lambda: lab.publish(hospital, "P:published", "cardiology"))
    assert found == Counter(AGREES + SIGNS)


def test_a_shared_key_is_sealed_in_a_batch_that_nothing_else_is_of(lab: CloudLab) -> None:
    lab.doctor("D:shares")
    cloud = lab.node.cloud
    live = cloud.live("D:shares", now=cloud.clock())
    assert live is not None
    assert live.sealed_shared_key[2:18] == Together(shared_key_context(live.identity, live.serial)).batch
