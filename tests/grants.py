"""What tests grant and show: production allows nothing that nobody asked for."""

from dataclasses import replace
from typing import Any

from federation.protocol.access import Allowed
from federation.protocol.consent import Terms
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import Consent, Deputyship, ShownDuty
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE, SENSITIVITY_SECRET, SignedStatement
from keystore.identities import ANY

WIDE = Terms(hospitals=(ANY,), department_classes=(ANY,), rights=(RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE))
"""All that a patient can ask for, at every hospital and in every class, for a day."""


EVERYTHING = Allowed("own", (ANY,), (ANY,), SENSITIVITY_SECRET)
"""What a patient is shown of its own."""


def wide(**narrowed: Any) -> Terms:
    """Return the same, but for what is said otherwise."""
    return replace(WIDE, **narrowed)


def consent_shown(
    patient_id: str,
    grant: SignedStatement,
    key_statement: SignedStatement,
    deputyship: Deputyship | None = None,
    duty: ShownDuty | None = None,
) -> Shown:
    """Return what shows a grant with the key statement of its signer, and by what that stands for the patient."""
    consent = Consent(grant=grant, key_statement=key_statement, deputyship=deputyship)
    return Shown.by_consent(consent, patient_id, duty)
