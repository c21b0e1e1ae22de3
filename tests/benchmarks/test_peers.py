"""Peers that are not here are said to be absent, and what is computed of the paper's tables is a sum."""

from collections import Counter

import pytest

from benchmarks.paper.times import computed
from benchmarks.peers import fhir


def test_a_fhir_server_that_is_not_installed_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(fhir, "HERE", tmp_path)
    with pytest.raises(fhir.FhirServerAbsent, match="not installed"), fhir.fhir_server(tmp_path / "bundle", tmp_path):
        pass


def test_phases_are_computed_round_by_round():
    times = {"T_A": [10.0, 20.0], "T_H": [1.0, 2.0], "T_M": [7.0, 7.0]}
    assert computed(Counter(T_A=2, T_H=3), times) == [23.0, 46.0]
