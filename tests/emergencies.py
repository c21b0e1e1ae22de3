"""Emergencies as tests declare them, and a hospital that lets them in."""

from dataclasses import replace

from federation.party.budgets import ServerBudgets
from federation.party.member import Member
from federation.protocol.access import LONGEST_EMERGENCY
from federation.protocol.consent import Declaration, make_emergency, second
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.settings import BudgetSettings
from federation.store.budgets import Budgets
from federation.v1.access_pb2 import DeclaredEmergency, ShownDuty
from federation.v1.record_pb2 import PURPOSE_READ, Scope
from keystore.identities import ANY
from tests.hospital_lab import Client, HospitalLab
from tests.simulator import Federation

REASON = "unconscious"
POLICY = EmergencyPolicy(frozenset({REASON}))


def let_in(lab: HospitalLab, policy: EmergencyPolicy | None = POLICY) -> HospitalLab:
    """Let a hospital that doesn't serve yet let in emergencies by a policy."""
    lab.hospital = replace(lab.hospital, emergency=policy)
    return lab


def budgeted(lab: HospitalLab, **most: int) -> HospitalLab:
    """Give a hospital that doesn't serve yet budgets, as `[budgets]` names them."""
    budgets = ServerBudgets(BudgetSettings(**most), Budgets(lab.database), lab.keys.index)
    lab.hospital = replace(lab.hospital, budgets=budgets)
    return lab


def declared(
    federation: Federation,
    doctor: Member | None = None,
    clinician: Member | None = None,
    duty: ShownDuty | None = None,
    **said: str,
) -> Shown:
    """Declare an emergency of an hour about P:wang, seconded if asked, and show it."""
    doctor, now = doctor or federation.doctor, federation.clock.now
    named = {"patient_id": "P:wang", "reason_code": REASON, "note": "Found on the street.", "hospital": ANY} | said
    declaration = Declaration(**named, second_doctor_id=clinician and clinician.identity)
    signed = make_emergency(
        federation.party(doctor), declaration, now=now, entropy=federation.entropy, life=LONGEST_EMERGENCY
    )
    shown = DeclaredEmergency(emergency=signed, duty=duty or federation.duty(doctor))
    if clinician is not None:
        shown.second.CopyFrom(second(signed, federation.party(clinician)))
    return Shown.in_emergency(declaration.patient_id, shown)


def read(lab: HospitalLab, client: Client, shown: Shown, asker: Member | None = None) -> bytes:
    """Read all that is shown to who asks."""
    scope = Scope(purpose=PURPOSE_READ, department_class=ANY)
    return client.read(Intent(shown, scope, lab.federation.entropy(32)), doctor=asker)[0]
