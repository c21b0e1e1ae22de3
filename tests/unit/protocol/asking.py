"""Somebody who asks by what it shows, for the tests of `Shown`; and what makes a deputy."""

from datetime import timedelta

from federation.protocol import consent
from federation.protocol.access import Question, Receiver
from federation.protocol.shown import asker_of
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import POWER_GRANT, POWER_LOG, POWER_READ, RIGHT_READ, Grant
from tests.mallory import restated

HOUR_MS = 3_600_000


class Asking:
    """Somebody asks a hospital, or the cloud, by what it shows."""

    def __init__(self, federation):
        self.federation = federation

    def decide(self, shown, asker=None, **asked):
        federation = self.federation
        party = federation.party(asker or federation.doctor).self_
        fields = {
            "right": RIGHT_READ,
            "patient_id": shown.patient_id,
            "hospital_id": "H:alpha",
            "department_class": "cardiology",
        }
        question = Question(asker_of(party), **fields | asked)
        return shown.decide(party, question, federation.hospital_b.verifier(), Receiver(), now=federation.clock.now)

    def by_grant(self, grant, **asked):
        return self.decide(self.federation.shown(grant), **asked)


def changed_grant(federation, change, signer=None):
    key = (signer or federation.patient).keys.signing_key
    return restated("grant", federation.grant(), Grant, key, change)


def setting(**fields):
    def change(statement):
        for name, value in fields.items():
            setattr(statement, name, value)

    return change


def mandate(federation, powers=(POWER_GRANT, POWER_READ), life=timedelta(days=30)):
    """P:wang makes P:lin its deputy."""
    signed = consent.make_mandate(
        federation.party(federation.patient),
        "P:lin",
        powers,
        life,
        now=federation.clock.now,
        entropy=federation.entropy,
    )
    federation.refresh()
    return Deputyship(mandate=signed, key_statement=federation.patient.key_statement)


def guardianship(federation, hospital=None):
    """A hospital states that P:lin stands for P:wang, for an hour."""
    hospital = hospital or federation.hospital_a
    ward = consent.Ward(
        "P:wang",
        "P:lin",
        "parent",
        "officer seven",
        (POWER_GRANT, POWER_READ, POWER_LOG),
        federation.clock.now + HOUR_MS,
    )
    signed = consent.make_guardianship(
        federation.party(hospital), ward, now=federation.clock.now, entropy=federation.entropy
    )
    return Deputyship(guardianship=signed, key_statement=hospital.key_statement)
