"""What a trust bundle's witness policies say: whom each counts, how many it asks for, and which of them is of a moment."""

import pytest

from federation.errors import BundleInvalid, HeadNotCosigned
from federation.protocol.access_log import MOST_WITNESSES
from federation.protocol.witness_policy import MOST_COSIGNATURES, WitnessPolicies, WitnessPolicy, witness_words
from federation.v1.directory_pb2 import TrustBundle
from tests.mallory import refused
from tests.policies import stated

CLOUD, AUTHOR = "C:union", "H:alpha"
EVERYBODY = ["H:beta", "H:gamma", CLOUD]


def read(*args, **more) -> WitnessPolicy:
    return WitnessPolicy.read(stated(*args, **more), CLOUD)


def test_no_more_is_asked_for_than_a_head_can_show():
    assert MOST_COSIGNATURES == MOST_WITNESSES
    assert read(MOST_COSIGNATURES).cosignatures == MOST_COSIGNATURES


@pytest.mark.parametrize(
    ("policy", "counted"),
    [
        (read(), (CLOUD, "H:beta", "H:gamma")),
        (read(public_cloud=False), ("H:beta", "H:gamma")),
        (read(1, ["H:gamma", AUTHOR]), (CLOUD, "H:gamma")),
        (read(1, ["H:delta", AUTHOR], public_cloud=False), ()),
    ],
)
def test_those_count_whom_it_names(policy, counted):
    others = ["public witness", "D:roe", "C:other", "H:", AUTHOR]
    assert policy.counted([*EVERYBODY, *others, *EVERYBODY], AUTHOR) == counted
    assert policy.is_met(EVERYBODY, AUTHOR) is bool(counted)


def test_head_not_cosigned_is_refused():
    assert read(2).require_met([CLOUD, "H:beta"], AUTHOR) == (CLOUD, "H:beta")
    with refused(HeadNotCosigned):
        read(2).require_met([CLOUD, CLOUD, AUTHOR], AUTHOR)


def test_cloud_is_no_witness_of_its_own_log():
    assert read().counted([CLOUD, "H:beta"], CLOUD) == ("H:beta",)


def test_policy_of_a_moment_is_the_last_that_had_begun():
    policies = stated(1), stated(2, not_before=10), stated(3, not_before=20)
    found = WitnessPolicies.read(TrustBundle(cloud_id=CLOUD, witness_policies=policies, issued_at=20))
    assert [found.at(moment).cosignatures for moment in (0, 9, 10, 19, 20, 99)] == [1, 1, 2, 2, 3, 3]
    assert found.newest == found.at(20)


@pytest.mark.parametrize(
    ("policies", "issued_at"),
    [
        ([], 9),
        ([stated(not_before=1)], 9),
        ([stated(), stated(2, not_before=0)], 9),
        ([stated(), stated(2, not_before=5), stated(1, not_before=4)], 9),
        ([stated(), stated(2, not_before=10)], 9),
    ],
)
def test_bundle_invalid_where_policies_have_no_order(policies, issued_at):
    with refused(BundleInvalid):
        WitnessPolicies.read(TrustBundle(cloud_id=CLOUD, witness_policies=policies, issued_at=issued_at))


@pytest.mark.parametrize(
    ("cosignatures", "hospitals", "public_cloud"),
    [
        (0, ["*"], True),
        (9, ["*"], True),
        (9, [f"H:{number}" for number in range(12)], True),
        (2, ["H:beta"], True),
        (2, ["H:beta", "H:gamma"], False),
        (1, ["H:beta"], False),
        (1, [], True),
        (1, ["H:beta", "H:beta", "H:gamma"], True),
        (1, ["*", "H:beta"], True),
        (1, ["*", "*"], True),
    ],
)
def test_bundle_invalid_where_a_policy_can_not_be(cosignatures, hospitals, public_cloud):
    with refused(BundleInvalid):
        read(cosignatures, hospitals, public_cloud=public_cloud)


def test_policy_is_said_in_words():
    assert witness_words(stated()) == "1 of: every hospital, the public cloud"
    assert witness_words(stated(1, ["H:beta", "H:gamma"], public_cloud=False)) == "1 of: H:beta, H:gamma"
