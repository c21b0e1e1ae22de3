"""Servers seen from outside, as operators and Prometheus see them: real processes, started by the command."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_channelz.v1.channelz_pb2 import GetServersRequest
from grpc_channelz.v1.channelz_pb2_grpc import ChannelzStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from demo.stage import environment, run, typed
from federation.settings import TracingSettings
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.membership_pb2 import PutEncryptionKeyRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.v1.record_pb2 import OpenSessionRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.statement_pb2 import EncryptionKeyStatement
from tests.e2e.observed import NOT_SERVING, SERVING, Observed
from tests.otlp_collector import Collector, attributes, collecting
from tests.page_commands import commands_of, words_of
from tests.promql import (
    GIVEN_BY_PROMETHEUS,
    LEGEND,
    dashboard_expressions,
    labels_in,
    legends,
    metrics_in,
    rule_expressions,
)
from tests.waiting import until

NODES = ("cloud", "a")
DEPENDENCIES = {"cloud": {"token", "database", "log"}, "a": {"token", "database", "log", "records", "peers"}}
ISSUED = "medunion_revocation_list_issued_timestamp_seconds"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Observed]:
    made = Observed(tmp_path_factory.mktemp("observed"), TracingSettings(collector.endpoint))
    try:
        made.found()
        made.add_hospital("a")
        run("hospital", "ticket", "--directory", made.root / "a", "--no-qr", "P:anybody")  # an entry in its log
        for node in NODES:
            until(lambda: all_well(made, node), f"{node} is well")  # noqa: B023 - called at once
        yield made
    finally:
        made.stop()


def all_well(stage: Observed, node: str) -> bool:
    try:
        return all(stage.status(node, name) == SERVING for name in DEPENDENCIES[node])
    except grpc.RpcError:
        return False


def reflected(channel: grpc.Channel) -> set[str]:
    request = ServerReflectionRequest(list_services="*")
    (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=60)
    return {service.name for service in answer.list_services_response.service}


@pytest.mark.parametrize("node", NODES)
def test_admin_server_has_health_reflection_and_channelz_and_nothing_of_the_protocol(
    stage: Observed, node: str
) -> None:
    with grpc.insecure_channel(stage.admin[node]) as channel:
        assert reflected(channel) == {
            "grpc.health.v1.Health",
            "grpc.channelz.v1.Channelz",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        assert ChannelzStub(channel).GetServers(GetServersRequest(), timeout=60).server
        for call, request in (
            (DirectoryServiceStub(channel).GetDirectory, GetDirectoryRequest()),
            (RecordServiceStub(channel).OpenSession, iter([OpenSessionRequest()])),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                list(answer) if (answer := call(request, timeout=60)) else None
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_admin_socket_is_its_owners_alone(stage: Observed) -> None:
    socket = stage.root / "cloud" / "admin.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert socket.stat().st_uid == os.getuid()


@pytest.mark.parametrize("node", NODES)
def test_public_ports_have_neither_reflection_nor_channelz(stage: Observed, node: str) -> None:
    with stage.public_channel(node) as channel:
        for ask in (
            lambda: reflected(channel),
            lambda: ChannelzStub(channel).GetServers(GetServersRequest(), timeout=60),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                ask()
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("node", NODES)
def test_every_dependency_has_a_health_and_nothing_else_has(stage: Observed, node: str) -> None:
    for name in {"", *DEPENDENCIES[node]}:
        assert stage.status(node, name) == SERVING
    with pytest.raises(grpc.RpcError) as raised:
        stage.status(node, "peers" if node == "cloud" else "federation.v1.RelayService")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("node", NODES)
def test_lost_token_is_told_and_its_return_too(stage: Observed, node: str) -> None:
    with stage.token_taken(node):
        lost = until(lambda: stage.status(node, "token") == NOT_SERVING, "the token's loss")
        assert stage.value(node, "medunion_dependency_up", dependency="token") == 0
        assert stage.status(node, "") == SERVING
    until(lambda: stage.status(node, "token") == SERVING, "the token's return")
    assert stage.value(node, "medunion_dependency_up", dependency="token") == 1
    assert stage.value(node, "medunion_events_total", event="token-lost") >= 1
    assert lost < 10


@pytest.mark.parametrize("node", NODES)
def test_database_that_hangs_is_told_and_the_other_probes_and_metrics_go_on(stage: Observed, node: str) -> None:
    with stage.database_held(node):
        until(lambda: stage.status(node, "database") == NOT_SERVING, "the database's loss")
        for _ in range(8):
            assert until(lambda: stage.scrape(node), "metrics") < 5
        assert stage.value(node, "medunion_dependency_up", dependency="database") == 0
        assert stage.status(node, "token") == SERVING
        assert stage.status(node, "") == SERVING
    until(lambda: stage.status(node, "database") == SERVING, "the database's return")


@pytest.mark.parametrize("node", NODES)
def test_log_that_was_tampered_with_is_told_and_that_it_was_put_right(stage: Observed, node: str) -> None:
    with closing(stage.database(node)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type='trigger' AND tbl_name='log'")
        guards = triggers.fetchall()
        assert guards, "the log is append-only"
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE log SET at = at + 1")
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        taken = connection.execute("SELECT * FROM log ORDER BY sequence DESC LIMIT 1").fetchone()
        connection.execute("DELETE FROM log WHERE sequence = ?", taken[:1])
        until(lambda: stage.status(node, "log") == NOT_SERVING, "the broken log")
        assert stage.value(node, "medunion_dependency_up", dependency="log") == 0
        connection.execute("INSERT INTO log VALUES (?, ?, ?, ?)", taken)
        until(lambda: stage.status(node, "log") == SERVING, "the whole log")
        for _, statement in guards:
            connection.execute(statement)


def test_peer_that_is_away_is_told_and_revocations_lag_until_it_is_back(stage: Observed) -> None:
    """The recorded rule `medunion:revocation_lag_seconds`, by hand."""

    def lag() -> float:
        return stage.value("cloud", ISSUED) - stage.value("a", ISSUED)

    until(lambda: lag() < 3, "the hospital follows")
    with stage.lines_cut():
        until(lambda: lag() > 3, "the lag rises")
        between = lag()
        until(lambda: lag() > between + 1, "the lag rises further")
        until(lambda: stage.status("a", "peers") == NOT_SERVING, "the cloud's loss")
        assert stage.status("a", "") == SERVING
    until(lambda: stage.status("a", "peers") == SERVING, "the cloud's return")
    until(lambda: lag() < 3, "the lag falls")


def refusals(stage: Observed) -> float:
    """Count the sessions that the hospital refused; before the first the metric has no series."""
    found = stage.scrape("a").get("medunion_refusals_total", [])
    return sum(value for labels, value in found if labels["service"] == "federation.v1.RecordService")


def test_calls_latencies_and_refusals_are_counted(stage: Observed) -> None:
    labels = {"service": "federation.v1.DirectoryService", "method": "GetDirectory"}
    before = stage.value("cloud", "medunion_calls_total", code="OK", **labels)
    with stage.public_channel("cloud") as channel:
        DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest(), timeout=60)
    until(lambda: stage.value("cloud", "medunion_calls_total", code="OK", **labels) > before, "the call is counted")
    assert stage.value("cloud", "medunion_call_seconds_count", **labels) > 0
    refused = refusals(stage)
    with stage.public_channel("a") as channel, pytest.raises(grpc.RpcError):
        next(RecordServiceStub(channel).OpenSession(iter([OpenSessionRequest()]), timeout=60))
    until(lambda: refusals(stage) > refused, "the refusal is counted")
    assert refusals(stage) == refused + 1


@pytest.mark.parametrize("node", NODES)
def test_token_workers_database_and_lists_are_told(stage: Observed, node: str) -> None:
    samples = stage.scrape(node)
    for metric in (
        "medunion_token_sessions_limit",
        "medunion_token_operation_seconds_count",
        "medunion_token_last_success_timestamp_seconds",
        "medunion_worker_threads",
        "medunion_log_entries",
        "medunion_revocation_list_end_timestamp_seconds",
        "medunion_certificate_end_timestamp_seconds",
        "medunion_trust_bundle_issued_timestamp_seconds",
        "process_resident_memory_bytes",
    ):
        assert any(value > 0 for _, value in samples[metric]), metric
    assert {value for _, value in samples["medunion_reading_failed"]} == {0}
    assert {value for _, value in samples["medunion_events_total"] if _["event"] == "internal-error"} == {0}


def test_outbox_of_a_cut_off_hospital_ages_and_empties(stage: Observed) -> None:
    with stage.lines_cut():
        run(
            *("hospital", "import", "--directory", stage.root / "a", "--patient", "P:johnnie"),
            *("--department", "cardiology", Path(__file__).parents[1] / "data" / "synthea-johnnie679.json"),
        )
        until(lambda: stage.value("a", "medunion_outbox_entries") == 1, "the outbox holds it")
        until(lambda: stage.value("a", "medunion_outbox_oldest_seconds") > 2, "it ages")
    until(lambda: stage.value("a", "medunion_outbox_entries") == 0, "it is published")
    assert stage.value("a", "medunion_outbox_oldest_seconds") == 0


def test_spans_of_both_nodes_arrive_and_name_nobody(stage: Observed, collector: Collector) -> None:
    with stage.public_channel("cloud") as channel:
        DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest(), timeout=60)
    with stage.public_channel("a") as channel, pytest.raises(grpc.RpcError):
        next(RecordServiceStub(channel).OpenSession(iter([OpenSessionRequest()]), timeout=60))
    span = collector.awaited("federation.v1.DirectoryService/GetDirectory", "medunion-public-cloud")
    assert len(attributes(span)["medunion.request_id"]) == 16
    collector.awaited("federation.v1.RecordService/OpenSession", "medunion-hospital")
    pin = (stage.root / "a" / "pin").read_bytes().strip()
    for request in collector.requests:
        sent = request.SerializeToString()
        assert not [word for word in (b"H:a", b"C:union", b"P:johnnie", b"licence", pin) if word in sent]


def rejected(stage: Observed) -> None:
    """Send the cloud what looks sealed and does not open."""
    with stage.public_channel("cloud") as channel:
        directory = DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest(), timeout=60)
        statement = EncryptionKeyStatement.FromString(directory.cloud_encryption_key_statement.statement)
        opening = SealedOpening(
            version=1, session_id=b"", key_id=statement.key_id, sealed=os.urandom(1500), sent_at=time.time_ns() // 10**6
        )
        with pytest.raises(grpc.RpcError) as raised:
            MembershipServiceStub(channel).PutEncryptionKey(PutEncryptionKeyRequest(opening=opening), timeout=60)
        assert raised.value.details() == "The message was not accepted."


def test_every_metric_and_label_of_dashboard_and_alerts_is_in_a_scrape(stage: Observed) -> None:
    rejected(stage)
    with stage.token_taken("a"):
        until(lambda: "medunion_token_errors_total" in stage.scrape("a"), "the token's errors")
    until(lambda: "medunion_rejection_causes_total" in stage.scrape("cloud"), "the cause is counted")
    found: dict[str, set[str]] = {"up": {"job"}, "medunion:revocation_lag_seconds": set()}
    for node in NODES:
        for metric, series in stage.scrape(node).items():
            found.setdefault(metric, set()).update(label for labels, _ in series for label in labels)
    for title, expression in [*dashboard_expressions(), *rule_expressions()]:
        for metric, labels in labels_in(expression).items():
            assert metric in found, f"{title} asks for {metric}"
            assert labels <= found[metric], f"{title} asks {metric} for {labels - found[metric]}"
    for title, expression, legend in legends():
        known = set().union(*(found[metric] for metric in metrics_in(expression)), GIVEN_BY_PROMETHEUS)
        assert set(LEGEND.findall(legend)) <= known, title


def test_every_command_of_the_operators_page_works_at_a_node(stage: Observed, tmp_path: Path) -> None:
    roots = {"hospital": stage.root / "a", "public-cloud": stage.root / "cloud", "authority": stage.root / "authority"}
    for command in commands_of("operations.md"):
        if any(f" {it} " in command for it in ("serve", "log-settle")):  # which don't end, or need a finding
            continue
        kinds = [kind for kind in roots if kind in command.split()][:1]
        for kind in kinds or ["hospital", "public-cloud"]:
            published = next(tmp_path.glob("*.crl"), "")
            put_in = {"DIR": roots[kind], "FILE": published, "URL": tmp_path.as_uri(), "ROLE": kind}
            words = [put_in.get(word, word.replace("DIR/", f"{roots[kind]}/")) for word in words_of(command)]
            if typed(words, environment()).returncode != 0:
                time.sleep(5)  # on a machine that is busy with other tests a node's own probe may have been late
                run(*words)
