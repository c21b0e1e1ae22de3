"""A hospital's sessions: every way in which one opens or goes on wrongly is refused by its reason."""

from dataclasses import replace
from datetime import timedelta

import grpc
import pytest

from federation.errors import (
    FutureDated,
    Limit,
    MalformedMessage,
    MessageTooLarge,
    OutOfOrder,
    RecordCutShort,
    Rejected,
    SilentStream,
    StaleMessage,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.v1.envelope_pb2 import SealedOpening, SessionFrame
from federation.wire.status import from_rpc_error
from tests.hospital_lab import Client, HospitalLab


def first_answer(client: Client, *, opening: SealedOpening | None = None, frame: SessionFrame | None = None) -> object:
    """Open a session with this message, and return what comes back."""
    with client.session() as session:
        session.send(opening=opening, frame=frame)
        return session.receive()


def test_a_d4_that_c_p_does_not_open_to_is_rejected_commitment_mismatch(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    federation = lab.federation
    promised = federation.intent(federation.grant(), 1, "neurology")
    with client.session() as session:
        established = client.establish(session, promised)
        asked = replace(established, intent=federation.intent(federation.grant(), 1, "cardiology"))
        with pytest.raises(Rejected):
            client.receive_record(session, *asked.query(now=federation.clock.now))
    assert lab.reasons == ["COMMITMENT_MISMATCH"]


def test_a_replayed_d3_is_rejected_message_replayed(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    for attempt in range(2):
        with client.session() as session:
            session.send(opening=opening)
            if attempt:
                with pytest.raises(Rejected):
                    session.receive()
            else:
                session.receive()
    assert "MESSAGE_REPLAYED" in lab.reasons  # the first session, given up by the doctor, may be told of too


def test_a_flipped_bit_of_d3_is_rejected_seal_invalid(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    opening.sealed = opening.sealed[:-1] + bytes([opening.sealed[-1] ^ 1])
    with pytest.raises(Rejected):
        first_answer(client, opening=opening)
    assert lab.reasons == ["SEAL_INVALID"]


def test_a_d3_of_a_time_far_off_is_refused_stale_future_dated(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    for minutes, reason in ((10, StaleMessage), (-10, FutureDated)):
        federation.clock.advance(timedelta(minutes=minutes))
        with pytest.raises(reason):
            first_answer(client, opening=opening)
        federation.clock.advance(timedelta(minutes=-minutes))


def test_clear_fields_of_d3_are_refused_precisely_unknown_key_id_unsupported_version(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    for changed, reason in (({"key_id": b"k" * 16}, UnknownKeyId), ({"version": 2}, UnsupportedVersion)):
        _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
        for name, value in changed.items():
            setattr(opening, name, value)
        with pytest.raises(reason):
            first_answer(client, opening=opening)


def test_a_silent_stream_is_ended_silent_stream(lab: HospitalLab, client: Client) -> None:
    with client.session() as session, pytest.raises(SilentStream):
        session.receive()
    assert lab.reasons == ["SILENT_STREAM"]


def test_a_stream_that_begins_with_something_else_is_refused_out_of_order(lab: HospitalLab, client: Client) -> None:
    frame = SessionFrame(
        session_id=b"s" * 16, sequence=0, last=True, sealed=b"x" * 32, sent_at=lab.federation.clock.now
    )
    with pytest.raises(OutOfOrder):
        first_answer(client, frame=frame)


def test_a_stream_that_ends_after_d3_is_refused_record_cut_short(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    with client.session() as session:
        client.establish(session, federation.intent(federation.grant()))
        session.half_close()
        with pytest.raises(RecordCutShort):
            session.receive()


def test_a_stale_revocation_list_means_no_reads(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    federation = lab.federation
    federation.party(federation.hospital_a)  # at work already when its list grows old
    federation.clock.advance(timedelta(hours=2))
    federation.refresh(federation.doctor, federation.patient)
    with pytest.raises(Rejected):
        client.read(federation.intent(federation.grant()))
    assert lab.reasons == ["REVOCATION_LIST_STALE"]


def test_an_oversized_message_is_refused_before_it_is_read(lab: HospitalLab, client: Client) -> None:
    for size, reason in ((1_200_000, MessageTooLarge), (3_000_000, Limit)):
        with pytest.raises(reason):
            first_answer(client, frame=SessionFrame(sealed=bytes(size)))


def test_bytes_that_are_no_message_are_refused_malformed(lab: HospitalLab, client: Client) -> None:
    raw = client.channel.stream_stream("/federation.v1.RecordService/OpenSession")
    with pytest.raises(grpc.RpcError) as refused:
        next(raw(iter([b"\xff\xff\xff"]), timeout=60))
    assert isinstance(from_rpc_error(refused.value), MalformedMessage)
