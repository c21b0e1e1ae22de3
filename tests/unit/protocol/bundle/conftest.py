"""Three trust bundles of one chain: the first, one that prepares successors, and one that lets them begin."""

import pytest

from federation.protocol.bundle import TrustedBundle, follow, issue
from tests.unit.protocol.bundle.bundles import (
    BOTH,
    BOTH_PREPARED,
    C_1,
    C_2,
    ROTATED,
    S_1,
    S_2,
    changed,
    content,
    period,
)


@pytest.fixture
def founding() -> TrustedBundle:
    return issue(content(), C_1)


@pytest.fixture
def prepared(founding) -> TrustedBundle:
    """Both successors are known, and do nothing yet."""
    return follow(founding, changed(founding, C_1, issuers=[period(S_1, 0), period(S_2)], cloud_keys=BOTH_PREPARED))


@pytest.fixture
def rotated(prepared) -> TrustedBundle:
    """Both successors are active."""
    issuers = [period(S_1, 0, ROTATED), period(S_2, ROTATED)]
    return follow(prepared, changed(prepared, C_2, issuers=issuers, cloud_keys=BOTH, issued_at=ROTATED))
