"""What is opened or about to be sealed is shown by no repr: a log line or a traceback holds no secret."""

from federation.protocol.registration import receive_request
from federation.protocol.sealing import Opened
from federation.v1.consultation_pb2 import ConsultationOpening
from federation.v1.statement_pb2 import ROLE_PATIENT
from keystore.party import PartyKeys
from tests.simulator import CLOUD_ID
from tests.unit.protocol.applying import Applying

PASSWORD, TICKET = b"p" * 32, b"t" * 16


def _shows(thing: object, secret: bytes) -> bool:
    return secret.decode() in repr(thing) + str(thing)


def test_a_registrations_password_and_ticket_are_shown_by_no_repr(federation, make_token):
    member = federation.new_member("P:shy", PartyKeys.create(make_token("shy")))
    applying = Applying(federation, member, ROLE_PATIENT, PASSWORD, TICKET)
    received = receive_request(applying.opening, federation.cloud.epochs, CLOUD_ID)
    states = (applying.waiting.applicant, applying.waiting, received, received.opened, applying.accept())
    for state in states:
        assert not _shows(state, PASSWORD), type(state)
        assert not _shows(state, TICKET), type(state)


def test_what_was_under_a_seal_is_shown_by_no_repr():
    opened = Opened(ConsultationOpening(biometric_password=PASSWORD), PASSWORD)
    assert not _shows(opened, PASSWORD)
