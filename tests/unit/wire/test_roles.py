"""The table of methods is total, and what is not in it is for nobody."""

from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from federation.errors import Rejected, RoleForbidden
from federation.protocol.parties import reason_of
from federation.v1 import (
    consultation_pb2,
    directory_pb2,
    log_pb2,
    membership_pb2,
    publication_pb2,
    record_pb2,
    registration_pb2,
    restrictions_pb2,
    revocation_pb2,
    search_pb2,
)
from federation.v1.membership_pb2 import IssueTicketRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.wire.roles import METHODS, Caller, require_same_hospital, rule_of

_FILES = (
    consultation_pb2,
    directory_pb2,
    log_pb2,
    membership_pb2,
    publication_pb2,
    record_pb2,
    registration_pb2,
    restrictions_pb2,
    revocation_pb2,
    search_pb2,
    health_pb2,
)


def _all_methods() -> set[str]:
    services = [s for file in _FILES for s in file.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_every_method_of_every_service_is_in_the_table_and_nothing_else() -> None:
    assert set(METHODS) == _all_methods()


def test_every_service_file_of_the_contract_is_looked_at() -> None:
    protos = Path(__file__).parents[3] / "protos"
    with_services = {
        str(path.relative_to(protos)) for path in protos.rglob("*.proto") if "\nservice " in path.read_text()
    }
    assert with_services == {file.DESCRIPTOR.name for file in _FILES} - {health_pb2.DESCRIPTOR.name}


def test_method_that_is_not_in_the_table_is_for_nobody() -> None:
    assert rule_of("/federation.v1.AdminService/Everything").caller is Caller.NOBODY


def test_what_only_hospitals_may_call() -> None:
    assert {method for method, rule in METHODS.items() if rule.caller is Caller.HOSPITAL} == {
        "/federation.v1.PublicationService/Publish",
        "/federation.v1.MembershipService/IssueTicket",
        "/federation.v1.RestrictionService/FetchRestrictions",
    }


def test_hospital_is_known_by_its_client_certificate(peer_bench, authority) -> None:
    with peer_bench.channel(authority.hospital_leaf("H:north")) as channel:
        assert MembershipServiceStub(channel).IssueTicket(IssueTicketRequest()).ticket == b"H:north"


def test_role_forbidden_to_a_peer_that_is_no_hospital(peer_bench, authority) -> None:
    with peer_bench.channel(authority.cloud_leaf(datetime.now(UTC))) as channel, pytest.raises(grpc.RpcError) as raised:
        MembershipServiceStub(channel).IssueTicket(IssueTicketRequest())
    assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert [event.reason for event in peer_bench.audited] == [RoleForbidden.reason]


def test_role_forbidden_without_a_client_certificate(bench) -> None:
    with bench.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        MembershipServiceStub(channel).IssueTicket(IssueTicketRequest())
    assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("calling", [None, "H:south"])
def test_another_hospital_in_the_message_is_rejected(calling: str | None) -> None:
    with pytest.raises(Rejected) as raised:
        require_same_hospital(calling, "H:north")
    assert reason_of(raised.value) == "IDENTITY_MISMATCH"


def test_the_same_hospital_in_the_message_is_accepted() -> None:
    require_same_hospital("H:north", "H:north")
