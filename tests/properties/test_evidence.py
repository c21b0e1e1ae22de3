"""A file of evidence in which any bit was turned is refused, or proves nothing that it did not prove before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import FederationError
from federation.protocol.exhibit import read_file, write_file
from federation.protocol.judge import judge
from tests.simulator import Federation, lent
from tests.time_authority import shared_authority
from tests.unit.protocol.judging import of_every_kind


@pytest.fixture(scope="session")
def evidence(federation: Federation) -> bytes:
    with lent(federation):
        return write_file(of_every_kind(federation))


@pytest.fixture(scope="session")
def proved(federation: Federation, evidence: bytes) -> list[set[str]]:
    found = judge(read_file(evidence), federation.cloud.anchors, shared_authority().trusted)
    assert all(it.holds for it in found)
    return [set(it.proves) for it in found]


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_turned_bit_of_a_file_is_refused_or_proves_nothing_more(
    federation: Federation, evidence: bytes, proved: list[set[str]], place: float, bit: int
) -> None:
    turned = bytearray(evidence)
    turned[int(place * len(evidence))] ^= 1 << bit
    try:
        kept = read_file(bytes(turned))
    except FederationError:
        return
    found = judge(kept, federation.cloud.anchors, shared_authority().trusted)
    assert len(found) == len(proved)
    for now, before in zip(found, proved, strict=True):
        assert not now.holds or set(now.proves) <= before
