"""What may be shown for access, one of each kind: its statements, H(access) and Hs(access)."""

from typing import Any

from google.protobuf.message import Message

from federation.protocol import consent
from federation.protocol.access import ToDepartment, ToHospital
from federation.v1 import statement_pb2
from federation.v1.access_pb2 import Access, Consent, DeclaredEmergency, Deputyship, OwnAccess
from federation.v1.statement_pb2 import SignedStatement
from tests.vectors import scenario, signed
from tests.vectors.describe import payload_of
from tests.vectors.signed import Transcript
from tests.vectors.single_calls import DEPARTMENT_CLASS
from tests.vectors.world import Step, World

POWERS = tuple(number for number in statement_pb2.Power.values() if number)
DEPUTY, WARD = "P:li", "P:child"
Statement = tuple[str, type[Message], SignedStatement, bytes]


def shown(world: World, steps: dict[str, Step]) -> dict[str, Access]:
    """Each kind of access, by its name. The deputy is nobody who is registered here: the patient is one itself, of its child."""
    now, duty, patient, hospital = world.now, scenario.duty(world), world.patient, world.hospital
    day = consent.DOCTORS_LIFE
    mandate = consent.make_mandate(patient, DEPUTY, POWERS[:3], day, now=now, entropy=world.entropy("mandate"))
    by_mandate = Deputyship(mandate=mandate, key_statement=patient.self_.key_statement)
    ward = consent.Ward(WARD, patient.identity, "parent", "officer seven", POWERS, now + 9 * 366 * 86_400_000)
    guardian = consent.make_guardianship(hospital, ward, now=now, entropy=world.entropy("guardian"))
    by_guardian = Deputyship(guardianship=guardian, key_statement=hospital.self_.key_statement)
    declared = consent.Declaration(patient.identity, "unconscious", "found in the street", "*", world.doctor.doctor_id)
    emergency = consent.make_emergency(world.doctor, declared, now=now, entropy=world.entropy("bg"))
    second = consent.second(emergency, world.doctor)
    given = payload_of(steps["P2-1"]).consent

    def granted(name: str, grantee: Any, deputyship: Deputyship | None = None) -> Consent:
        draws = world.entropy(f"grant-{name}")
        grant = consent.make_grant(patient, grantee, scenario.TERMS, now=now, entropy=draws, deputyship=deputyship)
        return Consent(grant=grant, key_statement=patient.self_.key_statement, deputyship=deputyship)

    department = granted("department", ToDepartment(hospital.identity, DEPARTMENT_CLASS))
    hospitals = granted("hospital", ToHospital(hospital.identity), by_guardian)
    return {
        "a consent for a doctor": Access(consent=given),
        "a consent for a department, on duty": _on_duty(department, duty),
        "a guardian's consent for a hospital, on duty": _on_duty(hospitals, duty),
        "one's own": Access(own=OwnAccess()),
        "a deputy's": Access(own=OwnAccess(deputyship=by_mandate)),
        "an emergency, seconded": Access(emergency=DeclaredEmergency(emergency=emergency, second=second, duty=duty)),
        "an emergency": Access(emergency=DeclaredEmergency(emergency=emergency, duty=duty)),
    }


def _on_duty(shown: Consent, duty: Any) -> Access:
    access = Access(consent=shown)
    access.consent.duty.CopyFrom(duty)
    return access


def statements(world: World, shown: dict[str, Access]) -> dict[str, Statement]:
    """Every statement that is shown, with its label, its type and the key that signed it."""
    patient_key, hospital_key = world.patient.self_.verifying_key, world.hospital.self_.verifying_key
    by_guardian = shown["a guardian's consent for a hospital, on duty"].consent
    emergency = shown["an emergency"].emergency
    grants = {
        "grant": shown["a consent for a doctor"].consent.grant,
        "grant for a department": shown["a consent for a department, on duty"].consent.grant,
        "grant for a hospital, by a guardian": by_guardian.grant,
    }
    found: dict[str, Statement] = {
        name: ("grant", statement_pb2.Grant, grant, patient_key) for name, grant in grants.items()
    }
    mandate = shown["a deputy's"].own.deputyship.mandate
    guardian = by_guardian.deputyship.guardianship
    return found | {
        "mandate": ("mandate", statement_pb2.Mandate, mandate, patient_key),
        "guardian": ("guardian", statement_pb2.Guardianship, guardian, hospital_key),
        "duty": ("duty", statement_pb2.Duty, emergency.duty.duty, hospital_key),
        "bg": ("bg", statement_pb2.Emergency, emergency.emergency, world.doctor.self_.verifying_key),
    }


def digests(world: World, shown: dict[str, Access]) -> dict[str, Transcript]:
    """H(access) and Hs(access) are H of these."""
    found = {f"H(access): {name}": signed.access(one) for name, one in shown.items()}
    return found | {f"Hs(access): {name}": signed.access_signed(one) for name, one in shown.items()}
