"""Witness policies as a trust bundle states them, and anchors that have another one than their bundle."""

from collections.abc import Sequence
from dataclasses import replace

from federation.protocol.anchors import Anchors
from federation.protocol.witness_policy import WitnessPolicies
from federation.v1.directory_pb2 import TrustBundle, WitnessPolicy


def stated(
    cosignatures: int = 1, hospitals: Sequence[str] = ("*",), *, not_before: int = 0, public_cloud: bool = True
) -> WitnessPolicy:
    """A policy; of everybody and one cosignature, which is what a federation is founded with, unless it is said."""
    return WitnessPolicy(
        not_before=not_before, cosignatures=cosignatures, hospitals=hospitals, public_cloud=public_cloud
    )


def asking(anchors: Anchors, *policies: WitnessPolicy) -> Anchors:
    """These anchors, as of a bundle that states these policies."""
    bundle = TrustBundle(cloud_id=anchors.cloud_id, witness_policies=policies, issued_at=policies[-1].not_before)
    return replace(anchors, witnesses=WitnessPolicies.read(bundle))
