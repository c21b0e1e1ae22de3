"""What clear fields decide, the cloud says precisely."""

import pytest

from federation import errors
from federation.errors import FederationError, Limit
from federation.party.channels import call
from federation.party.member import Member
from federation.v1.directory_pb2 import GetTrustBundlesRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from tests.e2e.cloud_lab import CloudLab
from tests.e2e.cloud_refusals.query import Query


def test_unsupported_version_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.opening.version = 2
    with lab.refused_in_clear(errors.UnsupportedVersion):
        query.send()


def test_unknown_key_id_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.opening.key_id = bytes(16)
    with lab.refused_in_clear(errors.UnknownKeyId):
        query.send()


@pytest.mark.parametrize(
    ("delta", "kind"), [(-31_000, errors.StaleMessage), (6_000, errors.FutureDated)], ids=["stale", "future-dated"]
)
def test_query_of_another_time_is_refused(
    lab: CloudLab, doctor: Member, patient: Member, delta: int, kind: type[FederationError]
) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.opening.sent_at += delta
    with lab.refused_in_clear(kind):
        query.send()


def test_missing_field_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.opening.ClearField("key_id")
    with lab.refused_in_clear(errors.MissingField):
        query.send()


def test_oversized_message_is_refused(lab: CloudLab, doctor: Member, patient: Member) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.opening.sealed = bytes(30_000)
    with lab.refused_in_clear(errors.MessageTooLarge):
        query.send()


def test_message_of_100_megabytes_is_refused_before_it_is_read(lab: CloudLab, doctor: Member, patient: Member) -> None:
    query = Query(lab, doctor, patient, lab.grant(patient, doctor))
    query.opening.sealed = bytes(100_000_000)
    with pytest.raises(Limit):
        query.send()


def test_bytes_that_are_no_message_are_refused(lab: CloudLab) -> None:
    method = lab.client()._channel.unary_unary("/federation.v1.SearchService/Search")
    with lab.refused_in_clear(errors.MalformedMessage):
        call(method, b"\xff\xff\xff")


def test_question_for_trust_bundles_after_no_number_is_refused(lab: CloudLab) -> None:
    with lab.refused_in_clear(errors.MissingField):
        call(DirectoryServiceStub(lab.client()._channel).GetTrustBundles, GetTrustBundlesRequest())
