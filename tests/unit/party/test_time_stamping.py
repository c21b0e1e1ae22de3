"""A node has its log's cosigned heads stamped by an authority over HTTP, keeps what would hold, and goes on without it."""

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from federation.errors import (
    FieldInvalid,
    MalformedMessage,
    TimeStampExpired,
    TimeStampMismatch,
    TimeStampRefused,
    TimeStampReplayed,
    TimeStampUntrusted,
    TimeStampUsage,
)
from federation.party.chores import ChoreRunner
from federation.party.log_rpc import LogDesk
from federation.party.time_stamping import EVENT, QUESTION, TimeStamping, stamping_chores
from federation.protocol.judge import judge
from federation.protocol.judged_logs import authored, time_exhibit
from federation.protocol.log_head import cosign
from federation.protocol.time import milliseconds
from federation.protocol.time_stamps import peek_stamp, request_stamp
from federation.settings import ConfigError, DiallingSettings, LogSettings
from federation.store.rows import StoredHead
from federation.v1.log_pb2 import GetTimeStampRequest
from federation.wire.channel import NetworkForbidden
from federation.wire.fetching import Fetcher, NotFetched
from tests.log_lab import LogNode
from tests.simulator import Federation
from tests.time_authority import CODE_SIGNING, TimeAuthority, TimeServer, shared_authority, time_server
from tests.unit.protocol.judging import kept

ALPHA = "H:alpha"
HOUR = timedelta(hours=1)


@pytest.fixture
def alpha(federation: Federation) -> LogNode:
    node = LogNode(ALPHA, federation, federation.hospital_a, cast("Any", None))
    node.write("one", "two", "three")
    return node


@pytest.fixture
def server() -> Iterator[TimeServer]:
    with time_server(shared_authority()) as serving:
        yield serving


def cosigned(node: LogNode) -> StoredHead:
    """Sign the newest head, and have H:beta cosign it."""
    head = node.own.sign_newest()
    assert head is not None
    beta, now = node.federation.party(node.federation.hospital_b), node.federation.clock.now
    node.own.keep_cosignature(
        head, "H:beta", cosign(head.note, beta.signing_key, "H:beta", now), beta.self_.key_statement
    )
    return head


def stamping(node: LogNode, server: TimeServer, trusted: Any = None) -> TimeStamping:
    fetcher = Fetcher(20_000, plain=True)
    trusted = shared_authority().trusted if trusted is None else trusted
    return TimeStamping(node.own, lambda question: fetcher.ask(server.url, question, QUESTION), trusted, HOUR)


def settings(tmp_path: Path, server: TimeServer, **more: Any) -> LogSettings:
    return LogSettings(
        **{"time_stamp_authority": server.url, "time_stamp_certificates": shared_authority().root, **more}
    )


def test_head_that_a_witness_cosigned_is_stamped_and_the_stamp_holds_before_a_judge(
    alpha: LogNode, server: TimeServer
) -> None:
    head = cosigned(alpha)
    assert stamping(alpha, server).stamp()
    ((kind, _),) = server.asked
    assert kind == "application/timestamp-query"
    alpha.write("four", "five")
    answer = LogDesk(alpha.own, alpha.witness).time_stamp(GetTimeStampRequest(number=1, size=head.size))
    one = kept(time_exhibit(ALPHA, head.note, alpha.own.key_statement(), answer))
    (found,) = judge([one], alpha.federation.cloud.anchors, shared_authority().trusted)
    assert [it.reason for it in found.checks if it.reason] == []
    assert any(it.startswith("that one is cosigned by H:beta at ") for it in found.proves)
    assert found.there_by == peek_stamp(answer.time_stamp).latest


def test_head_that_nobody_has_cosigned_is_not_stamped(alpha: LogNode, server: TimeServer) -> None:
    alpha.own.sign_newest()
    assert not stamping(alpha, server).stamp()
    assert server.asked == []


def test_log_is_stamped_again_when_it_grew_and_the_time_has_come_and_not_before(
    alpha: LogNode, server: TimeServer
) -> None:
    own, clock = stamping(alpha, server), alpha.federation.clock
    cosigned(alpha)
    assert own.stamp()
    clock.now += milliseconds(HOUR)
    assert not own.stamp()  # it did not grow
    alpha.write("four")
    cosigned(alpha)
    clock.now -= 1
    assert not own.stamp()
    clock.now += 1
    assert own.stamp()
    assert len(server.asked) == 2


def test_smallest_head_that_covers_a_size_is_the_one_whose_stamp_is_given(alpha: LogNode, server: TimeServer) -> None:
    desk, own = LogDesk(alpha.own, alpha.witness), stamping(alpha, server)
    cosigned(alpha)
    own.stamp()
    first = alpha.own.stamps.newest()
    assert first is not None
    alpha.write("four", "five", "six")
    assert not desk.time_stamp(GetTimeStampRequest(number=1, size=5)).HasField("time_stamp")
    cosigned(alpha)
    alpha.federation.clock.now += milliseconds(HOUR)
    own.stamp()
    assert authored(desk.time_stamp(GetTimeStampRequest(number=1, size=2)).note) == first.note
    assert authored(desk.time_stamp(GetTimeStampRequest(number=1, size=5)).note) != first.note
    assert not desk.time_stamp(GetTimeStampRequest(number=2, size=2)).HasField("note")


@pytest.mark.parametrize("size", [0, 4])
def test_field_invalid_for_a_time_stamp_of_a_size_that_the_tree_does_not_have(alpha: LogNode, size: int) -> None:
    with pytest.raises(FieldInvalid):
        LogDesk(alpha.own, alpha.witness).time_stamp(GetTimeStampRequest(number=1, size=size))


def refused(alpha: LogNode, server: TimeServer, error: type[Exception], trusted: Any = None) -> None:
    """Nothing is kept of an answer that is refused, and the next one is taken."""
    cosigned(alpha)
    with pytest.raises(error):
        stamping(alpha, server, trusted).stamp()
    assert alpha.own.stamps.newest() is None
    server.reply, server.status = shared_authority().reply, 200
    assert stamping(alpha, server).stamp()


def test_answer_to_another_question_is_time_stamp_replayed_and_not_kept(alpha: LogNode, server: TimeServer) -> None:
    head = cosigned(alpha)
    server.reply = lambda _: shared_authority().stamp(head.note)
    refused(alpha, server, TimeStampReplayed)


def test_answer_over_something_else_is_time_stamp_mismatch_and_not_kept(alpha: LogNode, server: TimeServer) -> None:
    def over_another(question: bytes) -> bytes:
        asked = request_stamp(cosigned(alpha).note)
        imprint, other = asked.message_imprint.message, request_stamp(b"other").message_imprint.message
        assert imprint in question
        return shared_authority().reply(question.replace(imprint, other))

    server.reply = over_another
    refused(alpha, server, TimeStampMismatch)


def test_authority_that_the_settings_do_not_name_is_time_stamp_untrusted_and_not_kept(
    alpha: LogNode, server: TimeServer, tmp_path: Path
) -> None:
    refused(alpha, server, TimeStampUntrusted, TimeAuthority(tmp_path / "other").trusted)


def test_authority_whose_certificate_is_over_is_time_stamp_expired_and_not_kept(
    alpha: LogNode, server: TimeServer, tmp_path: Path
) -> None:
    ended = TimeAuthority(tmp_path / "ended", lasts=timedelta(days=-1))
    server.reply = ended.reply
    refused(alpha, server, TimeStampExpired, ended.trusted)


def test_certificate_for_something_else_is_time_stamp_usage_and_not_kept(alpha: LogNode, server: TimeServer) -> None:
    server.reply = lambda question: shared_authority().replied_by_another_key(question, CODE_SIGNING)
    refused(alpha, server, TimeStampUsage)


def test_authority_that_makes_no_stamp_is_time_stamp_refused(alpha: LogNode, server: TimeServer) -> None:
    server.reply = lambda _: shared_authority().reply(b"no question")
    refused(alpha, server, TimeStampRefused)


def test_what_is_no_answer_is_malformed_message(alpha: LogNode, server: TimeServer) -> None:
    server.reply = lambda _: b"<html>"
    refused(alpha, server, MalformedMessage)


def test_authority_that_answers_with_an_error_is_not_fetched(alpha: LogNode, server: TimeServer) -> None:
    server.status = 503
    refused(alpha, server, NotFetched)


def test_node_goes_on_where_its_authority_is_away_and_the_event_that_the_alert_counts_is_told(
    alpha: LogNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with time_server(shared_authority()) as gone:
        pass
    cosigned(alpha)
    (chore,) = stamping_chores(alpha.own, settings(tmp_path, gone), DiallingSettings())
    assert not ChoreRunner().do(chore)
    assert [(it.message, it.levelname) for it in caplog.records if it.message == EVENT] == [(EVENT, "WARNING")]
    alpha.write("four")
    assert cosigned(alpha).size == 4
    with time_server(shared_authority()) as back:
        (chore,) = stamping_chores(alpha.own, settings(tmp_path, back), DiallingSettings())
        assert ChoreRunner().do(chore)
    newest = alpha.own.stamps.newest()
    assert newest is not None
    assert newest.size == 4


def test_authority_outside_the_networks_that_may_be_dialled_is_network_forbidden(
    alpha: LogNode, server: TimeServer, tmp_path: Path
) -> None:
    cosigned(alpha)
    elsewhere = DiallingSettings(networks=(str(ipaddress.ip_network("192.0.2.0/24")),))
    (chore,) = stamping_chores(alpha.own, settings(tmp_path, server), elsewhere)
    with pytest.raises(NetworkForbidden):
        chore.act()
    assert server.asked == []


def test_node_without_an_authority_has_no_such_chore(alpha: LogNode) -> None:
    assert stamping_chores(alpha.own, LogSettings(), DiallingSettings()) == []


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"time_stamp_certificates": None}, "go together"),
        ({"time_stamp_authority": None}, "go together"),
        ({"time_stamp_authority": "https://user@tsa.example/"}, "names? no user"),
        ({"time_stamp_certificates": Path("/nowhere/tsa.pem")}, "time_stamp_certificates"),
        ({"time_stamp_certificates": Path(__file__)}, "time_stamp_certificates"),
    ],
)
def test_settings_that_can_not_be_used_are_said_when_the_server_starts(
    alpha: LogNode, server: TimeServer, tmp_path: Path, parts: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        stamping_chores(alpha.own, settings(tmp_path, server, **parts), DiallingSettings())
