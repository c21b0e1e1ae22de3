"""Who applies for registration, and who asks for a record."""

import pytest

from federation.v1.statement_pb2 import ROLE_DOCTOR, ROLE_PATIENT
from keystore.party import PartyKeys
from tests.simulator import BIOMETRIC_PASSWORD
from tests.unit.protocol.applying import Applying
from tests.unit.protocol.asking import Asking


@pytest.fixture(scope="module")
def applicants(shared_federation):
    """Give the applicants' tokens, made once."""
    make = shared_federation.make_token
    return {name: PartyKeys.create(make("applicant")) for name in ("P:new", "D:new")}


@pytest.fixture
def patient(federation, applicants):
    member = federation.new_member("P:new", applicants["P:new"])
    return Applying(federation, member, ROLE_PATIENT, BIOMETRIC_PASSWORD, b"t" * 16)


@pytest.fixture
def doctor_member(federation, applicants):
    return federation.new_member("D:new", applicants["D:new"])


@pytest.fixture
def doctor(federation, doctor_member):
    certificate = federation.authority.certify(doctor_member.keys, "D:new")
    return Applying(federation, doctor_member, ROLE_DOCTOR, certificate, None)


@pytest.fixture
def asking(federation):
    return Asking(federation)
