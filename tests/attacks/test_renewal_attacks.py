"""Attacks on the way in which a member registers again by itself (ADR 18)."""

from datetime import timedelta

import pytest

from federation.errors import (
    AlreadyRegistered,
    AttributeChanged,
    ChallengeInvalid,
    IdentityMismatch,
    SignatureInvalid,
    StaleMessage,
    TicketInvalid,
)
from federation.party.member import Member
from federation.protocol.registration import LiveRegistration
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.registration_pb2 import RegistrationRequest
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_PATIENT,
    EncryptionKeyStatement,
)
from keystore.transcript import digest
from tests.keys import new_signing_key
from tests.mallory import refused, reg1, rejected, restated, signs_reg1
from tests.simulator import BIOMETRIC_PASSWORD, Federation
from tests.unit.protocol.applying import Applying


def live(member: Member) -> LiveRegistration:
    return LiveRegistration(member.key_statement)


def renewing(federation: Federation, evidence: bytes = BIOMETRIC_PASSWORD, **changes: object) -> Applying:
    """P:wang asks to be registered again, as it should unless the test changes it."""
    patient = federation.patient
    return Applying(federation, patient, ROLE_PATIENT, evidence, None, **{"current": patient.signing_key, **changes})


def mallorys(federation: Federation) -> dict[str, object]:
    """Give what Mallory has of her own to put in a request in P:wang's name: PRK_X, and an EK_X by it."""
    key = new_signing_key()

    def name_the_key(statement: EncryptionKeyStatement) -> None:
        statement.verifying_key_digest = digest(key.verifying_key.data)

    own = federation.party(federation.patient).encryption_key_statement
    return {
        "signing_key": key,
        "encryption_key_statement": restated("ek", own, EncryptionKeyStatement, key, name_the_key),
    }


def test_an_old_renewal_played_again_registers_nobody(federation: Federation) -> None:
    """Mallory sends a recorded renewal again, at once and later. Its challenge is used up, then its time is over."""
    asking = renewing(federation)
    asking.accept(live=live(federation.patient))
    with rejected(ChallengeInvalid):
        asking.accept(live=live(federation.patient), challenge_holds=False)
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        asking.accept(live=live(federation.patient))


def test_an_old_renewal_under_a_fresh_challenge_is_refused(federation: Federation) -> None:
    """One who reads reg1 at the cloud asks for a challenge of its own and seals the old request under it. Both signatures
    cover the challenge.
    """
    asking, challenge = renewing(federation), federation.entropy(16)
    opening = SealedOpening()
    opening.CopyFrom(asking.opening)
    opening.session_id = challenge
    request = reg1(federation).open(asking.opening)
    request.challenge = challenge
    with rejected(SignatureInvalid):
        asking.accept(reg1(federation).close(opening, request), live=live(federation.patient))


def test_a_renewal_held_back_does_not_undo_a_later_one(own_federation: Federation) -> None:
    """The network holds a renewal back until the patient has registered again with another key, since the old one is lost.
    The old key no longer is the live registration's.
    """
    federation = own_federation
    held_back = renewing(federation)
    successor = renewing(federation, **mallorys(federation))
    registered = successor.receive(successor.answer(live=live(federation.patient)))
    with rejected(SignatureInvalid):
        held_back.accept(live=LiveRegistration(registered.party.key_statement))


@pytest.mark.parametrize("whose", ["a stranger's", "another member's", "the cloud's"])
def test_another_key_than_the_live_one_renews_nothing(federation: Federation, whose: str) -> None:
    """Mallory asks in P:wang's name, with a key that is hers, or that she has of somebody else."""
    keys = {
        "a stranger's": new_signing_key(),
        "another member's": federation.other_patient.signing_key,
        "the cloud's": federation.cloud.keys.signing_key,
    }
    asking = renewing(federation, **mallorys(federation), current=keys[whose])
    with rejected(SignatureInvalid):
        asking.accept(live=live(federation.patient))


def test_a_members_own_registration_renews_no_other_identity(federation: Federation) -> None:
    """A cloud's store that mixes up two identities would let one take the other's place: the live registration must name
    the one that asks.
    """
    asking = renewing(federation, **mallorys(federation), current=federation.other_patient.signing_key)
    with rejected(IdentityMismatch):
        asking.accept(live=live(federation.other_patient))


def test_a_renewal_with_its_live_signature_stripped_is_a_request_without_a_ticket(federation: Federation) -> None:
    """Whoever opens reg1 takes `current_signature` out, which the other signature doesn't cover. What is left needs a ticket,
    and a doctor's, whose ticket is Cert_D, meets its own live registration.
    """

    def strip(request: RegistrationRequest) -> None:
        request.ClearField("current_signature")

    asking, doctor = renewing(federation), federation.doctor
    with rejected(TicketInvalid):
        asking.accept(asking.changed(strip, sign=False), live=live(federation.patient))
    asking = Applying(federation, doctor, ROLE_DOCTOR, doctor.certificate, None, current=doctor.signing_key)
    with rejected(AlreadyRegistered):
        asking.accept(asking.changed(strip, sign=False), live=live(doctor))


def test_a_live_signature_moved_to_another_request_is_refused(federation: Federation) -> None:
    """Mallory takes `current_signature` out of P:wang's request and puts it on hers, for the same identity."""
    taken = renewing(federation).waiting.request.current_signature
    own = mallorys(federation)
    asking = renewing(federation, **own, current=None)

    def attach(request: RegistrationRequest) -> None:
        request.current_signature = taken

    opening = reg1(federation).change(asking.opening, attach, signs_reg1(own["signing_key"]))
    with rejected(SignatureInvalid):
        asking.accept(opening, live=live(federation.patient))


def test_a_renewal_attests_to_nothing_new(federation: Federation) -> None:
    """A member brings another B_P, so that whoever has its token once is attested a body of its own; an insider changes it
    on the way.
    """
    with rejected(AttributeChanged):
        renewing(federation, evidence=bytes(32)).accept(live=live(federation.patient))
    asking = renewing(federation)

    def change(request: RegistrationRequest) -> None:
        request.evidence = bytes(32)

    with rejected(SignatureInvalid):
        asking.accept(asking.changed(change, sign=False), live=live(federation.patient))
