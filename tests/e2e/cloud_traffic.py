"""A hospital, a doctor and patients that use a cloud all the time and look after themselves, as their clients do."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from cryptography import x509

from federation.clock import system_clock
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.registration import register, renew_registration, renewal_due, restatement_due
from federation.v1.statement_pb2 import ROLE_HOSPITAL, ROLE_PATIENT
from keystore.party import HospitalKeys
from keystore.x509 import TlsLeaf, issue_leaf, request_certificate
from tests.e2e.cloud_lab import CloudLab, publication_of

HOSPITAL, DOCTOR, PATIENT = "H:busy", "D:busy", "P:busy"
LICENCE, BIOMETRIC = b"licence", bytes(32)
ADDRESS = "127.0.0.1:9"
NEWCOMER_EVERY = 4
_WAIT_SECONDS = 60.0


def _no_pause(seconds: float) -> None:
    raise AssertionError(f"an answer was lost: another try would come in {seconds} s")


class Traffic:
    """Rounds of every kind of call, one after the other. No call is made twice: the first that fails ends the traffic."""

    def __init__(self, lab: CloudLab) -> None:
        """Register the parties."""
        self._lab = lab
        self._keys = HospitalKeys.create(lab.token())
        self._hospital = lab.member(HOSPITAL, self._keys)
        self._hospital_client = self._client(self._hospital, peer=True)
        ticket = lab.node.invite(HOSPITAL)[0]
        register(self._hospital, self._hospital_client, ROLE_HOSPITAL, LICENCE, ticket)
        self._certify()
        self._doctor = lab.doctor(DOCTOR)
        self._doctor_client = self._client(self._doctor)
        self._patient = lab.member(PATIENT)
        self._patient_client = self._client(self._patient)
        ticket = self._hospital_client.issue_ticket(self._hospital, PATIENT).ticket
        register(self._patient, self._patient_client, ROLE_PATIENT, BIOMETRIC, ticket)
        self._publication = publication_of(HOSPITAL, PATIENT, f"{HOSPITAL}/cardiology")
        self._numbers = itertools.count(1)
        self._done = threading.Condition()
        self._stopping = threading.Event()
        self.rounds = 0
        self.failure: Exception | None = None

    def await_rounds(self, count: int) -> None:
        """Wait until so many more rounds are over. Raises what failed in one."""
        with self._done:
            target = self.rounds + count
            assert self._done.wait_for(lambda: self.rounds >= target or self.failure is not None, _WAIT_SECONDS)
        if self.failure is not None:
            raise self.failure

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep going for the block."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join(_WAIT_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._round()
                with self._done:
                    self.rounds += 1
                    self._done.notify_all()
        except Exception as error:  # noqa: BLE001 - raised where the test waits
            with self._done:
                self.failure = error
                self._done.notify_all()

    def _round(self) -> None:
        self._look_after(self._hospital, self._hospital_client, LICENCE)
        self._look_after(self._doctor, self._doctor_client, self._doctor.certificate, self._doctor.certificate)
        self._look_after(self._patient, self._patient_client, BIOMETRIC)
        self._certify_if_replaced()
        self._hospital_client.renew(self._hospital, ADDRESS)
        self._hospital_client.publish(self._hospital, self._publication)
        answer = self._doctor_client.search(self._doctor, self._lab.question(self._patient, self._doctor))
        assert [place.handle for place in answer.locations] == [self._publication.handle]
        if self.rounds % NEWCOMER_EVERY == 0:
            self._newcomer()

    def _look_after(self, member: Member, cloud: CloudClient, evidence: bytes, certificate: bytes = b"") -> None:
        cloud.refresh(member)
        now = system_clock()
        if renewal_due(member, now) is not None:
            renew_registration(member, cloud, evidence, certificate=certificate, pause=_no_pause)
        if restatement_due(member, now):
            cloud.renew(member)

    def _certify_if_replaced(self) -> None:
        if self._hospital.trust.newest().content.tls_ca_certificates[0] != self._certified_by:
            self._certify()

    def _certify(self) -> None:
        request = request_certificate(self._keys.tls_ca_key, HOSPITAL)
        certificate = self._hospital_client.certify_tls_identity(self._hospital, request)
        self._certified_by = next(
            der
            for der in self._hospital.trust.newest().content.tls_ca_certificates
            if _is_from(certificate, x509.load_der_x509_certificate(der))
        )
        self._leaf = issue_leaf(certificate, self._keys.tls_ca_key, HOSPITAL, now=datetime.now(UTC))

    def _newcomer(self) -> None:
        identity = f"P:new-{next(self._numbers)}"
        ticket = self._hospital_client.issue_ticket(self._hospital, identity).ticket
        member = self._lab.member(identity)
        client = self._client(member)
        register(member, client, ROLE_PATIENT, BIOMETRIC, ticket, pause=_no_pause)

    def _client(self, member: Member, *, peer: bool = False) -> CloudClient:
        leaf = self._current_leaf if peer else None
        return self._lab.closing.enter_context(CloudClient(member.trust.newest, leaf=leaf))

    def _current_leaf(self) -> TlsLeaf:
        return self._leaf


def _is_from(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return False
    return True
