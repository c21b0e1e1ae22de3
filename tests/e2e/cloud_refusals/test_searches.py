"""Searches that the cloud refuses: REJECTED once the seal is open; what is wrong with a grant, a proved doctor hears in C."""

import time
from datetime import timedelta

import grpc
import pytest

from federation import errors
from federation.party.member import Member
from federation.protocol.access import AccessEvent
from federation.protocol.search import Question
from federation.protocol.shown import Shown
from federation.protocol.statements import peek_statement
from federation.v1.search_pb2 import SearchRequest
from federation.v1.search_pb2_grpc import SearchServiceStub
from federation.v1.statement_pb2 import RIGHT_READ, Grant
from federation.wire.call_guard import REJECTION_FLOOR
from federation.wire.status import REQUEST_ID
from tests.e2e.cloud_lab import CloudLab, question_of
from tests.e2e.cloud_refusals.query import Query
from tests.grants import wide


def test_replayed_query_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.send()
    with lab.rejected_for("MESSAGE_REPLAYED"):
        query.send()


def test_query_whose_entry_was_lost_with_the_database_is_taken_when_it_comes_again(
    lab: CloudLab, doctor: Member, patient: Member
) -> None:
    query, database = Query(lab, doctor, patient, lab.grant(patient, doctor)), lab.node.database
    lost = "CREATE TRIGGER lost BEFORE INSERT ON log_waiting BEGIN SELECT RAISE(ABORT, 'lost'); END"
    database.write(lambda connection: connection.exec_driver_sql(lost))
    before = len(list(lab.node.cloud.audit.entries()))
    with pytest.raises(errors.Unavailable):
        query.send()
    database.write(lambda connection: connection.exec_driver_sql("DROP TRIGGER lost"))
    query.send()
    with lab.rejected_for("MESSAGE_REPLAYED"):
        query.send()
    told = [it.event for it in lab.node.cloud.audit.entries()][before:]
    assert [event.reason for event in told if isinstance(event, AccessEvent)] == ["OK"]


def test_outer_time_other_than_the_inner_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.opening.sent_at += 1
    with lab.rejected_for("SEAL_INVALID"):  # T in clear is bound into the seal, so the seal breaks first
        query.send()


@pytest.mark.parametrize("place", [0, 1_200, -1])
def test_flipped_bit_is_refused(lab: CloudLab, doctor: Member, patient: Member, place: int) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    sealed = bytearray(query.opening.sealed)
    sealed[place] ^= 1
    query.opening.sealed = bytes(sealed)
    with lab.rejected_for("SEAL_INVALID"):
        query.send()


def test_unregistered_doctor_is_refused(lab: CloudLab, patient: Member) -> None:
    doctor = lab.doctor("D:ended")
    registrations = lab.node.cloud.stores.registrations
    registrations.authorize_reissue("D:ended", registrations.live("D:ended").serial)
    with lab.rejected_for("NOT_REGISTERED"):
        Query(lab, doctor, patient, lab.grant(patient, doctor)).send()


def test_revoked_doctor_is_refused(lab: CloudLab, patient: Member) -> None:
    doctor = lab.doctor("D:lost")
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    lab.node.revoke("D:lost")
    lab.node.cloud.publisher.refresh(lab.node.cloud.clock())
    with lab.rejected_for("CREDENTIAL_REVOKED"):
        query.send()


def test_no_grant_no_record(lab: CloudLab, doctor: Member, patient: Member) -> None:
    with pytest.raises(errors.GrantMissing):
        lab.client().search(doctor, Question(Shown("P:good")))


def test_grant_of_another_doctor_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    other = lab.doctor("D:other")
    with pytest.raises(errors.GrantInvalid):
        lab.client().search(other, question_of(patient, lab.grant(patient, doctor)))


def test_expired_grant_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    grant = lab.grant(patient, doctor, wide(life=timedelta(milliseconds=1)))
    while lab.node.cloud.clock() <= peek_statement(Grant, grant).not_after:
        time.sleep(0.001)
    with pytest.raises(errors.GrantExpired):
        lab.client().search(doctor, question_of(patient, grant))


def test_grant_without_the_right_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    grant = lab.grant(patient, doctor, wide(rights=(RIGHT_READ,)))
    with pytest.raises(errors.GrantScope):
        lab.client().search(doctor, question_of(patient, grant))


def test_every_rejection_reads_the_same_and_none_comes_before_the_floor(
    lab: CloudLab, doctor: Member, patient: Member
) -> None:
    replayed, altered = (Query(lab, doctor, patient, lab.grant(patient, doctor)) for _ in range(2))
    replayed.send()
    altered.opening.sealed = altered.opening.sealed[:-1] + bytes([altered.opening.sealed[-1] ^ 1])
    told = set()
    for query in (replayed, altered):
        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as raised:
            SearchServiceStub(query.client._channel).Search(SearchRequest(opening=query.opening))
        assert time.monotonic() - started >= REJECTION_FLOOR.total_seconds()
        trailing = tuple(entry for entry in raised.value.trailing_metadata() if entry.key != REQUEST_ID)
        told.add((raised.value.code(), raised.value.details(), trailing))
    assert len(told) == 1
