"""P1 and D3 are open when their answers are made: what fails there is REJECTED like anything after a seal (B9)."""

from dataclasses import replace

from federation.errors import PointInvalid
from federation.protocol.parties import Party
from keystore.registration_secret import RegistrationSecret
from tests.mallory import rejected


def _with_a_faulty_token(party: Party, other_point: bytes) -> Party:
    """The token's answers do not belong to U_X."""
    return replace(party, registration_secret=RegistrationSecret(party.registration_secret.key, other_point))


def test_an_agreement_that_fails_after_p1_is_rejected_invalid_point(federation):
    asked = federation.receive_opening(federation.open_consultation()[1])
    faulty = replace(asked, own=_with_a_faulty_token(asked.own, asked.peer.party.public_point))
    with rejected(PointInvalid):
        faulty.reply(now=federation.clock.now, entropy=federation.entropy)


def test_an_agreement_that_fails_after_d3_is_rejected_invalid_point(federation):
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    asked = federation.receive_session(federation.hospital_a, opening)
    faulty = replace(asked, own=_with_a_faulty_token(asked.own, asked.peer.party.public_point))
    with rejected(PointInvalid):
        faulty.reply(now=federation.clock.now, entropy=federation.entropy)
