"""When a hospital lets an emergency in."""

from collections.abc import Collection
from dataclasses import dataclass

from keystore.identities import ANY


@dataclass(frozen=True)
class EmergencyPolicy:
    """When an emergency is let in: for which reasons, of doctors on duty in which classes (ANY: in any, or none), by how many."""

    reasons: Collection[str]
    duty_classes: Collection[str] = (ANY,)
    second_clinician: bool = False
