"""A search as a test sends it: by hand, altered as it likes."""

from federation.clock import system_entropy
from federation.party.channels import call
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.protocol import search as protocol
from federation.protocol.verifier import EncryptionKey
from federation.v1.search_pb2 import SearchRequest
from federation.v1.search_pb2_grpc import SearchServiceStub
from federation.v1.statement_pb2 import SignedStatement
from tests.e2e.cloud_lab import CloudLab, question_of


def cloud_key(client: CloudClient, member: Member) -> EncryptionKey:
    client.refresh(member)
    return client.cloud_key(member)


class Query:
    """A query that a test may alter and send by hand."""

    def __init__(self, lab: CloudLab, doctor: Member, patient: Member, grant: SignedStatement) -> None:
        self.client = lab.client()
        key = cloud_key(self.client, doctor)
        now = self.client.clock()
        party, verifier = doctor.party(now), doctor.verifier()
        self.awaiting, self.opening = protocol.ask(
            party,
            question_of(patient, grant),
            key,
            verifier,
            now=now,
            entropy=system_entropy,
        )

    def send(self) -> None:
        """Send it."""
        call(SearchServiceStub(self.client._channel).Search, SearchRequest(opening=self.opening))
