"""How many calls of PKCS#11 a hospital's token gets for a step: a network HSM is a round trip away at each."""

from collections import Counter

import pytest

from tests.hospital_lab import JOHNNIE, Client, HospitalLab, ecg, encounter_of, report
from tests.simulator import Federation
from tests.token_calls import AGREES, MACS, SIGNS, TokenCalls


def test_a_release_agrees_twice_and_signs_twice(
    lab: HospitalLab, client: Client, federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3 is opened, H1 agreed on and signed, H2 signed; what the record needs is remembered for its asker."""
    lab.import_files(JOHNNIE)
    intent = federation.intent(federation.grant())
    found = TokenCalls(monkeypatch).of(lab.keys.token, lambda: client.read(intent))
    assert found == Counter(2 * AGREES + 2 * SIGNS)


def test_a_deposit_asks_for_the_batch_of_its_record_beside(
    lab: HospitalLab, client: Client, federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    biosignal, diagnosis = ecg(), report(federation)

    def deposit() -> None:
        client.deposit(encounter_of(federation, biosignal, diagnosis, federation.grant()))

    found = TokenCalls(monkeypatch).of(lab.keys.token, deposit)
    assert found == Counter(2 * AGREES + 2 * SIGNS + MACS)
