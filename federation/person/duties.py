"""What hospitals state of a doctor: that it is on duty there now. Kept while it holds, and then asked for anew."""

from contextlib import suppress

from federation.clock import Clock
from federation.errors import FederationError
from federation.party.channels import call
from federation.party.member import Member
from federation.person.dealing import Connect
from federation.person.trace import Trace
from federation.protocol import access
from federation.protocol.consent import peek_duty
from federation.protocol.duty import ask_for_duty, verify_duty
from federation.protocol.parties import Entropy
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import ShownDuty
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from keystore.identities import HospitalId

LEFT_MS = 60_000
"""How long a duty has to hold yet to be shown: what it is shown for takes its time."""


class Duties:
    """The duties of one doctor, by hospital."""

    def __init__(self, member: Member, connect: Connect, trace: Trace, clock: Clock, entropy: Entropy) -> None:
        """Ask over these connections."""
        self._member = member
        self._connect = connect
        self._trace = trace
        self._clock = clock
        self._entropy = entropy
        self._kept: dict[HospitalId, tuple[str, ShownDuty]] = {}

    def take(self, stated: ShownDuty, hospital_id: HospitalId, address: str) -> access.Duty:
        """Check a duty that this hospital states for the doctor, keep it, and give what it says.

        Raises DutyInvalid, DutyExpired, DutyRevoked; Authentication, MalformedMessage.
        """
        now = self._clock()
        own, verifier = self._member.party(now).self_, self._member.verifier()
        duty = verify_duty(stated, own, hospital_id, verifier, now=now)
        self._kept[hospital_id] = address, stated
        return duty

    def ask(self, hospital_id: HospitalId, address: str) -> access.Duty:
        """Ask a hospital for the duty of now. Raises NotOnDuty, Unavailable, and as `take`."""
        now, channel = self._clock(), self._connect(address, hospital_id)
        request = ask_for_duty(self._member.party(now), hospital_id, now=now, entropy=self._entropy)
        self._trace.note("duty?", self._member.identity, hospital_id, request)
        answer = call(RecordServiceStub(channel).GetDuty, request)
        self._trace.note("duty", hospital_id, self._member.identity, answer)
        self._member.lists.hear(answer.revocations)
        return self.take(answer.duty, hospital_id, address)

    def at_hand(self, hospital_id: HospitalId, address: str) -> ShownDuty:
        """Return the duty to show: the kept one while it holds, or the hospital's of now.

        Where the hospital states none now, it is the last one: whether one is needed is for who decides. Raises as `ask` where
        there was none.
        """
        kept = self._kept.get(hospital_id)
        if kept is not None and self.holds(kept[1]):
            return kept[1]
        try:
            self.ask(hospital_id, address)
        except FederationError:
            if kept is None:
                raise
        return self._kept[hospital_id][1]

    def refreshed(self, shown: Shown) -> Shown:
        """Return what is shown, with the duty of now where the one in it is over and the hospital states another."""
        consent = shown.consent
        if consent is None or not consent.HasField("duty") or self.holds(consent.duty):
            return shown
        hospital_id = peek_duty(consent.duty).hospital_id
        if hospital_id not in self._kept:
            return shown
        return Shown.by_consent(consent, shown.patient_id, self.at_hand(hospital_id, self._kept[hospital_id][0]))

    def holds(self, stated: ShownDuty) -> bool:
        """Return whether a duty may be shown: it is neither over nor taken back, nor is the credential that stated it."""
        duty, now, verifier = peek_duty(stated), self._clock(), self._member.verifier()
        with suppress(FederationError):
            verifier.party(stated.key_statement, ROLE_HOSPITAL, now=now)
            is_revoked = verifier.lists.is_revoked("duty", duty.hospital_id, duty.id)
            return not is_revoked and now + LEFT_MS < duty.validity.not_after
        return False
