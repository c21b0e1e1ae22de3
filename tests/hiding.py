"""What a patient hides, as a hospital gets it in tests: stated, and handed out by the public cloud."""

from collections.abc import Sequence

from federation.hospital.restrictions import take_restrictions
from federation.party.member import Member
from federation.protocol.access import Hidden
from federation.protocol.restriction import Restriction, make_restriction
from federation.v1.access_pb2 import Deputyship
from federation.v1.restrictions_pb2 import DueRestriction, HeldRestriction, ShownRestriction
from tests.hospital_lab import HospitalLab


class Handing:
    """The public cloud, as a hospital asks it: hands out what is put there until it is acknowledged."""

    def __init__(self, *shown: ShownRestriction) -> None:
        self.waiting = {number.to_bytes(32, "big"): one for number, one in enumerate(shown)}
        self.held: list[HeldRestriction] = []

    def __call__(self, held: Sequence[HeldRestriction]) -> Sequence[DueRestriction]:
        self.held += held
        for one in held:
            self.waiting.pop(one.reference)
        return [DueRestriction(reference=key, shown=one) for key, one in self.waiting.items()][:16]


def stated(
    lab: HospitalLab, *hidden: Hidden, signer: Member | None = None, above: int = 0, by: Deputyship | None = None
) -> ShownRestriction:
    """State what is hidden, by the patient or by a deputy."""
    federation = lab.federation
    signer = signer or federation.patient
    wanted = Restriction("P:wang", hidden=hidden)
    party = federation.party(signer)
    signed = make_restriction(party, wanted, above=above, now=federation.clock.now, deputyship=by)
    return ShownRestriction(restriction=signed, key_statement=signer.key_statement, deputyship=by)


def hide(lab: HospitalLab, *hidden: Hidden) -> None:
    """Let the hospital take up that this is hidden, and nothing else."""
    above = lab.hospital.restrictions.of("P:wang").number
    assert take_restrictions(lab.hospital, Handing(stated(lab, *hidden, above=above))) == 1
