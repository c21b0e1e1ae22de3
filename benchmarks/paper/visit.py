"""The paper's phases, step by step and party by party, on the real in-memory federation: for whoever counts or times them.

Every content is of one AES block, 16 bytes, as in the paper's Table 5 (docs/paper-tables.md); a real one adds its own length.
What belongs to no step, such as a list that the public cloud signs once for everybody, is made between the steps.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from benchmarks.paper.counting import Sending
from federation.protocol import consultation, record, record_hospital, search
from federation.protocol.access import Receiver
from federation.protocol.anchors import serial_entry
from federation.protocol.calls import PUBLISH
from federation.protocol.consultation import AwaitingBiosignal, AwaitingDiagnosis, AwaitingReceipt, InConsultation
from federation.protocol.frames import pieces
from federation.protocol.index import Location
from federation.protocol.record import (
    Intent,
    Received,
)
from federation.protocol.record_hospital import AcceptedDeposit, ReceivedDeposit, ReceivedQuery
from federation.protocol.registration import TicketTerms, receive_request
from federation.protocol.sealing import after_opening
from federation.protocol.statements import sign_statement
from federation.protocol.time import Freshness
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, Publication, PublicationReceipt
from federation.v1.record_pb2 import PURPOSE_STORE
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    SENSITIVITY_NORMAL,
    SignedStatement,
)
from keystore.identities import DepartmentId, PatientId
from keystore.party import HospitalKeys, PartyKeys
from keystore.transcript import digest
from tests.contents import deposit_of, record_of
from tests.simulator import BIOMETRIC_PASSWORD, CLOUD_ID, Federation

BLOCK: Final = bytes(16)
HANDLE: Final = b"h" * 16
PATIENT: Final = PatientId("P:wang")
FIRST, SECOND = DepartmentId("H:alpha/cardiology"), DepartmentId("H:beta/cardiology")
"""Where the patient has a record, and where the visit's deposit goes."""
ROLES: Final = {"patient": ROLE_PATIENT, "hospital": ROLE_HOSPITAL, "doctor": ROLE_DOCTOR}

PHASES: Final = {
    "registration": "Registration",
    "consultation": "Patient visiting doctor",
    "search": "EMR search",
    "diagnosis": "Diagnosis",
    "deposit": "Deposit and publication",
}


class Recorder(Protocol):
    """Whoever counts or times steps."""

    def step(self, phase: str, party: str, name: str) -> AbstractContextManager[Sending]:
        """Count or time what is inside."""
        ...


@dataclass(frozen=True)
class Visit:
    """Visits in one federation, whose patient has a record at the first hospital and leaves a deposit at the second."""

    federation: Federation

    @classmethod
    def prepared(cls, federation: Federation) -> "Visit":
        """Return visits that find something."""
        federation.cloud.publish(PATIENT, Location(FIRST, HANDLE))
        return cls(federation)

    def phases(self, recorder: Recorder) -> None:
        """Go through all phases but the registration."""
        waiting, consulting = self.consult(recorder)
        consent = consulting.shown.consent
        assert consent is not None
        self.look_up(recorder, consent.grant)
        received = self.read(recorder, consent.grant)
        diagnosed = self.diagnose(recorder, waiting, consulting, received.end.signature)
        self.store(recorder, consulting, diagnosed, consent.grant)

    def register(self, recorder: Recorder, number: int) -> None:
        """Eq. 2 to 10, for a patient, a hospital and a doctor who are new."""
        federation = self.federation
        for role in ROLES:
            identity = {"patient": f"P:new{number:03}", "hospital": f"H:new{number:03}", "doctor": f"D:new{number:03}"}[
                role
            ]
            keys = (HospitalKeys if role == "hospital" else PartyKeys).create(federation.make_token(role))
            assert keys.token.ways  # tried at the first question, once for all; and so is ML-KEM
            assert keys.token.has_mlkem in {True, False}
            self._register(recorder, role, identity, keys)

    def _register(self, recorder: Recorder, role: str, identity: str, keys: PartyKeys) -> None:
        federation, cloud, now, phase = (
            self.federation,
            self.federation.cloud,
            self.federation.clock.now,
            "registration",
        )
        member = federation.new_member(identity, keys)
        certificate = federation.authority.certify(keys, identity) if role == "doctor" else b""
        evidence = certificate or (BIOMETRIC_PASSWORD if role == "patient" else b"licence")
        ticket = None if role == "doctor" else federation.entropy(16)
        verifier, challenge = cloud.verifier(), federation.entropy(16)
        authority_list, cloud_key = (federation.authority.crl(),), cloud.encryption_key()
        with recorder.step(phase, role, "reg1") as sends:
            applicant = member.applicant(ROLES[role], evidence, ticket, now=now)
            waiting, opening = applicant.apply(challenge, cloud_key, now=now)
            sends(opening)
        with recorder.step(phase, "public cloud", f"check reg1 of a {role}, reg2") as sends:
            accepted = receive_request(opening, cloud.epochs, CLOUD_ID).accept(
                verifier, challenge_holds=True, ticket=TicketTerms(ROLES[role], identity), live=None, now=now
            )
            serial = federation.entropy(16)
            lists = cloud.excerpt(serial_entry(serial))
            credential = accepted.credential(serial, now=now)
            issued = cloud.keys.issuing.issue(credential)
            _, reply = accepted.answer(credential, issued, cloud.keys.signing_key, lists, now=now)
            issued.shared_key(identity, serial)
            issued.wipe()
            sends(reply)
        with recorder.step(phase, role, "check reg2"):
            registered = waiting.receive(reply, member.anchors, authority_list, member.freshness, now=now)
            member.install(registered, certificate)

    def consult(self, recorder: Recorder) -> tuple[AwaitingDiagnosis, InConsultation]:
        """P1, D1, P2: eq. 11 to 24."""
        federation, now, phase = self.federation, self.federation.clock.now, "consultation"
        room, code = federation.room()
        duty, patient, doctor = federation.duty(), federation.patient, federation.doctor
        with recorder.step(phase, "patient", "check the doctor's code, P1") as sends:
            verifier = patient.verifier()
            known = consultation.check_room(room, code, verifier, now=now)
            awaiting, opening = consultation.begin(
                federation.party(patient), known, BIOMETRIC_PASSWORD, verifier, now=now, entropy=federation.entropy
            )
            sends(opening)
        with recorder.step(phase, "doctor", "check P1, D1, SEK_1") as sends:
            asked = federation.receive_opening(opening)
            state, reply = asked.reply(now=now, entropy=federation.entropy)
            sends(reply)
        with recorder.step(phase, "patient", "check D1, SEK_1") as sends:
            established = awaiting.receive(reply, patient.verifier(), now=now)
        with recorder.step(phase, "patient", "consent") as sends:
            grant = federation.grant()
        with recorder.step(phase, "patient", "P2") as sends:
            waiting, frames = established.deliver(BLOCK, federation.shown(grant, on_duty=False), now=now)
            sealed = list(frames)
            for frame in sealed:
                sends(frame)
        with recorder.step(phase, "doctor", "check P2"):
            for frame in sealed:
                assert isinstance(state, AwaitingBiosignal)
                state = state.receive(frame, doctor.verifier(), duty, now=now)
        assert isinstance(state, InConsultation)
        return waiting, state

    def look_up(self, recorder: Recorder, grant: SignedStatement) -> None:
        """D2 and C, one row: eq. 25 to 32."""
        federation, cloud, now, phase = self.federation, self.federation.cloud, self.federation.clock.now, "search"
        question = search.Question(federation.shown(grant), "cardiology")
        verifier, cloud_key = cloud.verifier(), cloud.encryption_key()
        with recorder.step(phase, "doctor", "D2") as sends:
            awaiting, opening = search.ask(
                federation.party(federation.doctor),
                question,
                cloud_key,
                federation.doctor.verifier(),
                now=now,
                entropy=federation.entropy,
            )
            sends(opening)
        with recorder.step(phase, "public cloud", "check D2, C") as sends:
            reply = cloud.answer(opening, verifier)
            sends(reply)
        with recorder.step(phase, "doctor", "check C"):
            answer = awaiting.receive(reply, federation.doctor.verifier(), now=now)
        assert len(answer.locations) == 1

    def read(self, recorder: Recorder, grant: SignedStatement) -> Received:
        """D3, H1, D4, H2 of one record: eq. 33 to 48."""
        federation, now, phase = self.federation, self.federation.clock.now, "search"
        hospital = federation.hospital_a
        established, requested = self._established(recorder, phase, federation.intent(grant))
        with recorder.step(phase, "doctor", "D4") as sends:
            receiving, frame = established.query(now=now)
            sends(frame)
        with recorder.step(phase, "hospital", "check D4, H2") as sends:
            query = requested.receive(frame, hospital.verifier(), now=now)
            assert isinstance(query, ReceivedQuery)
            release = query.decide(hospital.verifier(), Receiver(), now=now).recorded()
            frames = []
            for piece in pieces([record_of(BLOCK)]):
                release, sliced = release.slice(piece, now=now)
                frames.append(sliced.frame)
            frames.append(release.end(1, now=now))
            for one in frames:
                sends(one)
        with recorder.step(phase, "doctor", "check H2"):
            for one in frames:
                receiving, received = receiving.receive(one, federation.doctor.verifier(), now=now)
        assert isinstance(received, Received)
        return received

    def _established(
        self, recorder: Recorder, phase: str, intent: Intent
    ) -> tuple[record.Established, record_hospital.AwaitingRequest]:
        """D3 and H1, to the hospital that the intent's duty is at."""
        federation, now = self.federation, self.federation.clock.now
        hospital = federation.hospital_b if phase == "deposit" else federation.hospital_a
        with recorder.step(phase, "doctor", "check the hospital's keys, D3") as sends:
            peer = federation.address(hospital)
            awaiting, opening = record.begin(
                federation.party(federation.doctor),
                peer,
                intent,
                federation.doctor.verifier(),
                now=now,
                entropy=federation.entropy,
            )
            sends(opening)
        with recorder.step(phase, "hospital", "check D3, H1, SEK_2") as sends:
            requested, reply = federation.receive_session(hospital, opening).reply(now=now, entropy=federation.entropy)
            sends(reply)
        with recorder.step(phase, "doctor", "check H1, SEK_2"):
            established = awaiting.receive(reply, federation.doctor.verifier(), now=now)
        return established, requested

    def diagnose(
        self, recorder: Recorder, waiting: AwaitingDiagnosis, consulting: InConsultation, based_on: bytes
    ) -> AwaitingReceipt:
        """D5, eq. 49 and 50, and the patient's receipt for it."""
        federation, now, phase = self.federation, self.federation.clock.now, "diagnosis"
        with recorder.step(phase, "doctor", "D5") as sends:
            awaiting, frame = consulting.diagnose(BLOCK, (based_on,), now=now)
            sends(frame)
        with recorder.step(phase, "patient", "check D5, receipt") as sends:
            diagnosed = waiting.receive(frame, federation.patient.verifier(), now=now)
            _, receipt = diagnosed.receipt(now=now)
            sends(receipt)
        with recorder.step(phase, "doctor", "check the receipt"):
            awaiting.receive(receipt, federation.doctor.verifier(), now=now)
        return awaiting

    def store(
        self,
        recorder: Recorder,
        consulting: InConsultation,
        diagnosed: AwaitingReceipt,
        grant: SignedStatement,
    ) -> None:
        """D3, H1, STO, STOACK at the hospital of the visit; PUB, PUBACK."""
        federation, now, phase = self.federation, self.federation.clock.now, "deposit"
        hospital = federation.hospital_b
        intent = federation.intent(grant, PURPOSE_STORE, "cardiology", hospital=hospital)
        established, requested = self._established(recorder, phase, intent)
        with recorder.step(phase, "doctor", "STO") as sends:
            sto = deposit_of(consulting, diagnosed.diagnosis, intent, now=now)
            receiving, frames = established.deposit(consulting.biosignal, BLOCK, sto)
            sealed = list(frames)
            for frame in sealed:
                sends(frame)
        with recorder.step(phase, "hospital", "check STO, STOACK") as sends:
            taken: object = requested
            for frame in sealed:
                taken = taken.receive(frame, hospital.verifier(), now=now)  # type: ignore[attr-defined]
            assert isinstance(taken, ReceivedDeposit)
            accepted = taken.decide(hospital.verifier(), Receiver(), now=now).recorded()
            assert isinstance(accepted, AcceptedDeposit)
            ended = taken.answer(accepted.receipt(HANDLE, 1, now=now), now=now)
            sends(ended)
        with recorder.step(phase, "doctor", "check STOACK"):
            receiving.receive(ended, now=now)
        self._publication(recorder)

    def _publication(self, recorder: Recorder) -> None:
        federation, cloud, now, phase = self.federation, self.federation.cloud, self.federation.clock.now, "deposit"
        hospital, cloud_key, verifier = federation.hospital_b, cloud.encryption_key(), cloud.verifier()
        with recorder.step(phase, "hospital", "PUB") as sends:
            publication = Publication(
                action=PUBLICATION_ACTION_ADD,
                patient_id=PATIENT,
                department_id=SECOND,
                hospital_id="H:beta",
                handle=HANDLE,
                sensitivity=SENSITIVITY_NORMAL,
                nonce=federation.entropy(16),
            )
            opening, plaintext = PUBLISH.send(publication, hospital.keys.signing_key, cloud_key, now=now)
            sends(opening)
        with recorder.step(phase, "public cloud", "check PUB, PUBACK") as sends:
            claimed = PUBLISH.receive(opening, cloud.epochs, CLOUD_ID, Freshness(), now=now)
            with after_opening():
                sender = verifier.party(hospital.key_statement, ROLE_HOSPITAL, now=now)
            pending = claimed.verify(sender, now=now)
            pending.admit(cloud.replay.admit(pending.replay_key, now=now, until=pending.keep_until))
            location = Location(SECOND, HANDLE)
            cloud.index.seal(cloud.index.names(PATIENT, location)[0], location)
            content = PublicationReceipt(publication_digest=digest(plaintext), done_at=now)
            receipt = sign_statement("puback", content, cloud.keys.signing_key)
            sends(receipt)
        with recorder.step(phase, "hospital", "check PUBACK"):
            hospital.anchors.open("puback", PublicationReceipt, receipt)
