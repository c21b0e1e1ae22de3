"""The public cloud over TLS with real tokens: registration, publication, search, revocation, as its members call it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from demo.stage import typed
from federation.errors import CredentialRevoked, GrantRevoked, Unavailable, UnknownKeyId
from federation.party.audit import AuditEntry
from federation.party.registration import register
from federation.protocol.access import AccessEvent
from federation.protocol.anchors import statement_entry
from federation.protocol.consent import Terms
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.publication_pb2 import PUBLICATION_ACTION_WITHDRAW
from federation.v1.statement_pb2 import RIGHT_INDEX, ROLE_HOSPITAL, ROLE_PATIENT, Grant, RevocationExcerpt
from tests.e2e.cloud_lab import CLOUD, CloudLab, free_port, question_of
from tests.grants import wide
from tests.revoked import entries
from tests.waiting import until


def test_a_record_published_by_a_hospital_is_found_by_a_doctor_with_a_grant(lab: CloudLab) -> None:
    hospital = lab.hospital("H:north", "127.0.0.1:4711")
    patient, doctor = lab.patient("P:ann", hospital), lab.doctor("D:ben")
    publication = lab.publish(hospital, "P:ann", "cardiology")
    answer = lab.client().search(doctor, lab.question(patient, doctor))
    assert [(p.hospital.identity, p.department_id, p.address, p.handle) for p in answer.locations] == [
        ("H:north", "H:north/cardiology", "127.0.0.1:4711", publication.handle)
    ]


def test_a_patient_without_a_record_gets_an_empty_answer(lab: CloudLab) -> None:
    hospital = lab.hospital("H:empty")
    patient, doctor = lab.patient("P:empty", hospital), lab.doctor("D:empty")
    answer = lab.client().search(doctor, lab.question(patient, doctor))
    assert answer.locations == ()
    assert answer.next == b""


def test_rows_outside_the_grant_are_left_out(lab: CloudLab) -> None:
    inside, outside = lab.hospital("H:inside"), lab.hospital("H:outside")
    patient, doctor = lab.patient("P:scope", inside), lab.doctor("D:scope")
    for hospital in (inside, outside):
        lab.publish(hospital, "P:scope", "cardiology")
        lab.publish(hospital, "P:scope", "oncology")
    terms = Terms(hospitals=("H:inside",), department_classes=("cardiology",), rights=(RIGHT_INDEX,))
    grant = lab.grant(patient, doctor, terms)
    answer = lab.client().search(doctor, question_of(patient, grant))
    assert [place.department_id for place in answer.locations] == ["H:inside/cardiology"]


def test_a_withdrawn_record_is_not_found(lab: CloudLab) -> None:
    hospital = lab.hospital("H:withdraw")
    patient, doctor = lab.patient("P:withdraw", hospital), lab.doctor("D:withdraw")
    publication = lab.publish(hospital, "P:withdraw", "cardiology.ward-2")
    publication.action = PUBLICATION_ACTION_WITHDRAW
    hospital[1].publish(hospital[0], publication)
    grant = lab.grant(patient, doctor)
    assert lab.client().search(doctor, question_of(patient, grant)).locations == ()


def test_every_answered_search_is_in_the_audit_log_with_its_reason(lab: CloudLab) -> None:
    hospital = lab.hospital("H:log")
    patient, doctor = lab.patient("P:log", hospital), lab.doctor("D:log")
    lab.client().search(doctor, lab.question(patient, doctor))
    events = [e.event for e in lab.node.cloud.audit.entries() if _is_access(e, "D:log")]
    assert [(event.kind, event.patient_id, event.scope, event.reason) for event in events] == [
        ("SEARCH", "P:log", "*", "OK")
    ]
    assert lab.node.cloud.audit.verify() > 0


def _is_access(entry: AuditEntry, asker_id: str) -> bool:
    return isinstance(entry.event, AccessEvent) and entry.event.asker_id == asker_id


def test_a_revoked_grant_is_on_the_list_of_the_answer_and_finds_nothing(lab: CloudLab) -> None:
    hospital = lab.hospital("H:revoke")
    patient, doctor = lab.patient("P:revoke", hospital), lab.doctor("D:revoke")
    grant = lab.grant(patient, doctor)
    before = patient.verifier().lists.sequence
    assert lab.client().revoke(patient, [("grant", grant)]).sequence > before
    with pytest.raises(GrantRevoked):
        lab.client().search(doctor, question_of(patient, grant))


def test_a_revoked_grant_stays_on_the_list_beyond_its_end(lab: CloudLab) -> None:
    """A hospital whose clock is behind by sigma takes a grant until then: the list must name it as long."""
    hospital = lab.hospital("H:late")
    patient, doctor = lab.patient("P:late", hospital), lab.doctor("D:late")
    signed = lab.grant(patient, doctor)
    lab.client().revoke(patient, [("grant", signed)])
    grant = Grant.FromString(signed.statement)
    entry = statement_entry("grant", "P:late", grant.grant_id)
    most_skew = 60_000  # ProtocolSettings.skew_seconds
    assert entry in entries(lab.node.cloud.stores.revocations, now=grant.not_after + most_skew)


def test_a_grant_that_is_over_is_taken_back_with_those_that_hold(lab: CloudLab) -> None:
    hospital = lab.hospital("H:over")
    patient, doctor, client = lab.patient("P:over", hospital), lab.doctor("D:over"), lab.client()
    over, holds = lab.grant(patient, doctor, wide(life=timedelta(milliseconds=1))), lab.grant(patient, doctor)
    forgotten_after = Grant.FromString(over.statement).not_after + 2 * 60_000
    lists = client.revoke(patient, [("grant", over), ("grant", holds)])
    assert all(lists.is_revoked("grant", "P:over", Grant.FromString(it.statement).grant_id) for it in (over, holds))
    book = lab.node.cloud.stores.revocations
    assert len(entries(book, now=forgotten_after)) - len(entries(book, now=forgotten_after + 1)) >= 1
    client.revoke(patient, [("grant", over), ("grant", holds)])


def test_those_who_follow_the_directory_hear_of_a_change_at_once(lab: CloudLab) -> None:
    hospital = lab.hospital("H:watch")
    patient, doctor = lab.patient("P:watch", hospital), lab.doctor("D:watch")
    grant = lab.grant(patient, doctor)
    follower, client = lab.member("H:follower").lists, lab.client()
    with client.watch(follower) as changes:
        first = follower.follow(next(changes), client.bundles_after, client.all_shards).sequence
        started = time.monotonic()
        lab.client().revoke(patient, [("grant", grant)])
        told = next(changes)
        assert (len(told.delta.added), list(told.certificate_revocation_lists)) == (1, [])
        assert not told.HasField("trust_bundle")
        lists = follower.follow(told, client.bundles_after, unasked)
        assert lists.sequence > first
        assert lists.is_revoked("grant", "P:watch", Grant.FromString(grant.statement).grant_id)
        assert time.monotonic() - started < 60  # a list that nobody announces comes after ten minutes


def test_a_newer_crl_reaches_followers_under_a_higher_sequence(lab: CloudLab) -> None:
    follower, client = lab.member("H:crl-follower").lists, lab.client()
    with client.watch(follower) as changes:
        first = follower.follow(next(changes), client.bundles_after, client.all_shards).sequence
        lab.node.put_crl(lab.authority.crl())
        told = next(changes)
        assert (len(told.certificate_revocation_lists), told.HasField("delta")) == (1, False)
        assert follower.follow(told, client.bundles_after, unasked).sequence > first


def unasked(_: Sequence[bytes]) -> Iterator[RevocationExcerpt]:
    raise AssertionError("all shards are fetched, and the changes lead on")


def test_a_revoked_party_may_register_again_and_its_old_credential_is_on_the_list(lab: CloudLab) -> None:
    hospital = lab.hospital("H:again")
    patient = lab.patient("P:again", hospital)
    old = patient.party(time.time_ns() // 1_000_000).self_.serial
    assert lab.node.revoke("P:again") == [old]
    fresh = lab.member("P:again")
    ticket = hospital[1].issue_ticket(hospital[0], "P:again").ticket
    register(fresh, lab.client(), ROLE_PATIENT, bytes(32), ticket)
    lab.node.cloud.publisher.refresh(lab.node.cloud.clock())
    lab.client().refresh(fresh)
    with pytest.raises(CredentialRevoked):
        fresh.verifier().lists.require_serial_good(old)


def test_the_same_registration_again_gets_the_same_answer(lab: CloudLab) -> None:
    member, client = lab.member("H:twice"), lab.client()
    client.refresh(member)
    opened = client.open_registration()
    now = client.clock()
    key = member.verifier().cloud_encryption_key(opened.cloud_encryption_key_statement, now=now)
    applicant = member.applicant(ROLE_HOSPITAL, b"licence", lab.node.invite("H:twice")[0], now=now)
    awaiting, opening = applicant.apply(opened.challenge, key, now=now)
    first = client.send_registration(opening)
    assert client.send_registration(opening) == first
    crls = tuple(client.directory().certificate_revocation_lists)
    registered = awaiting.receive(first, member.anchors, crls, member.freshness, now=client.clock())
    member.install(registered)
    assert member.is_registered


def test_the_database_names_no_patient(lab: CloudLab) -> None:
    hospital = lab.hospital("H:blind")
    lab.patient("P:unmistakable-name", hospital)
    lab.publish(hospital, "P:another-unmistakable-name", "cardiology")
    files = list((lab.directory / "cloud").glob("store.sqlite*"))
    assert all(b"another-unmistakable-name" not in file.read_bytes() for file in files)


def test_a_message_to_an_epoch_that_is_over_is_told_so_and_sent_again(lab: CloudLab) -> None:
    hospital = lab.hospital("H:epoch")
    client = lab.client()
    client.cloud_key(hospital[0])
    old = client.cloud_key(hospital[0]).key_id
    cloud = lab.node.cloud
    cloud.epochs.rotate(cloud.clock())
    stored = next(epoch for epoch in cloud.epochs._store.all() if epoch.key_id == old)
    cloud.epochs._open.pop(old, None)
    cloud.epochs._store.drop(old)
    cloud.keys.end_epoch(stored.token_label)
    cloud.publisher.refresh(cloud.clock())
    client.renew(hospital[0], "127.0.0.1:9")
    assert client.cloud_key(hospital[0]).key_id != old
    assert any(event.reason == UnknownKeyId.reason for event in lab.refusals())


def test_the_peer_port_takes_no_connection_without_a_client_certificate(lab: CloudLab) -> None:
    content = TrustBundle()
    content.CopyFrom(lab.node.trust().content)
    content.cloud_address = content.cloud_peer_address
    bundle = replace(lab.node.trust(), content=content)
    with pytest.raises(Unavailable):
        type(lab.client())(lambda: bundle).directory()


def test_commands_found_a_federation_and_serve_it_until_sigterm(tmp_path: Path) -> None:
    directory, pin, ready = tmp_path / "cloud", tmp_path / "pin", tmp_path / "ready"
    public, peer = free_port(), free_port()
    _medunion("token", "init-softhsm", "--directory", directory, "--label", "cloud", "--pin-file", pin)
    addresses = ("--address", f"127.0.0.1:{public}", "--peer-address", f"127.0.0.1:{peer}")
    _medunion(
        "public-cloud",
        "init",
        "--directory",
        directory,
        "--identity",
        CLOUD,
        "--realm",
        "r",
        *addresses,
        "--pin-file",
        pin,
        "--make-keys",
    )
    assert "Ticket for H:a" in _medunion("public-cloud", "invite", "--directory", directory, "H:a")
    command = [*_MEDUNION, "public-cloud", "serve", "--directory", str(directory), "--ready-file", str(ready)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(ready.exists)
        assert json.loads(ready.read_text()) == {"public": public, "peer": peer, "pid": process.pid}
        for port in (public, peer) * 5:
            with socket.create_connection(("127.0.0.1", port), 5) as stranger:
                stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert stranger.recv(1) == b"", "closed, as no TLS"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output == f"{CLOUD} serves at port {public}, hospitals at port {peer}\n"
    assert [json.loads(line)["event"] for line in errors.splitlines()] == ["admin-served"]


def test_a_wrong_pin_is_a_plain_sentence_and_exit_code_1(tmp_path: Path) -> None:
    directory, pin = tmp_path / "cloud", tmp_path / "pin"
    _medunion("token", "init-softhsm", "--directory", directory, "--label", "cloud", "--pin-file", pin)
    common = (
        "--directory",
        directory,
        "--identity",
        CLOUD,
        "--realm",
        "r",
        "--address",
        "a:1",
        "--peer-address",
        "a:2",
    )
    pin.write_text("not the PIN")
    pin.chmod(0o600)
    result = typed(["public-cloud", "init", *common, "--pin-file", pin, "--make-keys"], dict(os.environ))
    assert result.returncode == 1
    assert "[PIN_INCORRECT]" in result.stderr
    assert "Traceback" not in result.stderr
    assert "not the PIN" not in result.stderr


_MEDUNION = (sys.executable, "-m", "federation.cli.main")


def _medunion(*arguments: str | Path) -> str:
    done = typed(arguments, dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout
