"""`medunion public-cloud`: members, tickets and addresses as they are; a move that members follow; a hospital that leaves."""

import hashlib
import json
import signal
from pathlib import Path

import pytest

from demo.stage import Running, run, ticket_in
from federation.clock import system_clock
from federation.errors import Rejected
from federation.party.registration import parse_ticket, register
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from tests.e2e.cloud_lab import CloudLab, Serve
from tests.waiting import until

At = tuple[object, ...]
WHY = "--why", "it closes"


def listed(name: str, at: At, *more: str) -> list[dict[str, object]]:
    return json.loads(run("public-cloud", name, *at, *more, "--json"))


def test_members_are_listed_by_role_with_where_they_are_dialled(lab: CloudLab, at: At) -> None:
    hospital = lab.hospital("H:listed", "listed.example:7101")
    lab.patient("P:listed", hospital)
    (found,) = [it for it in listed("members", at, "--role", "hospital") if it["identity"] == "H:listed"]
    assert (found["role"], found["address"], found["ended"]) == ("hospital", "listed.example:7101", False)
    live = lab.node.cloud.live("H:listed", now=system_clock())
    assert found["serial"] == live.serial.hex()
    assert {it["role"] for it in listed("members", at, "--role", "patient")} == {"patient"}
    assert {it["role"] for it in listed("members", at)} >= {"hospital", "patient"}
    assert f"H:listed  from {found['not_before']} until {found['not_after']}" in run("public-cloud", "members", *at)


def test_tickets_are_listed_until_they_are_used_and_never_in_clear(lab: CloudLab, at: At) -> None:
    text = ticket_in(run("public-cloud", "invite", *at, "H:invited"))
    said = run("public-cloud", "tickets", *at)
    assert "H:invited  until " in said
    assert text not in said
    (found,) = [it for it in listed("tickets", at) if it["identity"] == "H:invited"]
    assert (found["role"], found["issued_by"]) == ("hospital", "operator")
    member = lab.member("H:invited")
    register(member, lab.client(), ROLE_HOSPITAL, b"licence", parse_ticket(text))
    assert "H:invited" not in run("public-cloud", "tickets", *at)


def test_addresses_of_the_cloud_and_of_each_hospital_are_listed(lab: CloudLab, at: At) -> None:
    lab.hospital("H:placed", "placed.example:7101")
    content = lab.node.trust().content
    found = {(it["identity"], it["for"]): it["address"] for it in listed("addresses", at)}
    assert found["H:placed", "everybody"] == "placed.example:7101"
    assert found["C:union", "hospitals"] == content.cloud_peer_address
    assert "H:placed  placed.example:7101  for everybody" in run("public-cloud", "addresses", *at)


def test_members_follow_a_cloud_that_moves_by_the_trust_bundle(serve_cloud: Serve, at: At) -> None:
    with serve_cloud() as lab:
        here = "--directory", lab.directory / "cloud", *at[2:]
        member, client = lab.hospital("H:follower")
        old = lab.node.trust().content
        assert "is at" in run("public-cloud", "move", *here, "--address", old.cloud_address, *WHY, expect=1)
        assert "Give --address" in run("public-cloud", "move", *here, *WHY, expect=2)
        new = f"localhost:{old.cloud_address.rpartition(':')[2]}"
        assert f"Trust bundle {old.sequence + 1} says {new}" in run(
            "public-cloud", "move", *here, "--address", new, *WHY
        )

        def followed() -> bool:
            client.refresh(member)
            return member.trust.newest().content.cloud_address == new

        until(followed, "the bundle that says where the cloud is now")
        assert member.trust.newest().content.cloud_peer_address == old.cloud_peer_address
        # By a client of the bundle that the member has: it dials the new address.
        client.renew(member, "127.0.0.1:9")
        assert json.loads((lab.directory / "cloud" / "trust.json").read_text())["bundle"]["cloud_address"] == new
        assert f"{new}, for hospitals {old.cloud_peer_address}; by " in run("public-cloud", "log", *here)


def test_hospital_that_leaves_is_shut_out_before_its_rows_go(lab: CloudLab, at: At) -> None:
    gone, stays = lab.hospital("H:leaving"), lab.hospital("H:staying")
    for hospital in (gone, stays):
        lab.publish(hospital, "P:kim", "cardiology")
    ticket = gone[1].issue_ticket(gone[0], "P:nobody-yet").ticket
    own = ticket_in(run("public-cloud", "invite", *at, "H:leaving"))
    remove = "public-cloud", "remove-member", *at, "H:leaving", *WHY
    assert "1 row in the index.\nNothing is removed yet; give --confirm 1." in run(*remove)
    assert "H:leaving has 1 row, not 2: nothing was removed" in run(*remove, "--confirm", "2", expect=1)
    lab.publish(gone, "P:kim", "oncology")  # nothing has happened so far
    said = run(*remove, "--confirm", "2")
    assert "2 rows taken out of the index, 2 tickets forgotten" in said
    assert said.count("is revoked; members know") == 1

    with pytest.raises(Rejected):
        lab.publish(gone, "P:kim", "oncology")
    with pytest.raises(Rejected):
        register(lab.member("H:leaving"), lab.client(), ROLE_HOSPITAL, b"licence", parse_ticket(own))
    assert lab.node.cloud.stores.registrations.find_ticket(hashlib.sha256(ticket).digest(), now=0) is None
    assert "H:leaving" not in run("public-cloud", "addresses", *at)
    assert "H:leaving is not registered, and has 0 rows" in run(*remove)
    assert "1 row in" in run("public-cloud", "remove-member", *at, "H:staying", *WHY)
    assert "0 rows taken out" in run(*remove, "--confirm", "0")
    log = [json.loads(line) for line in run("public-cloud", "log", *at).splitlines()]
    kinds = [it["kind"] for it in log if "H:leaving" in it.get("detail", "")]
    assert kinds.index("MEMBER-REMOVED") < kinds.index("REVOCATION") < kinds.index("FORGET-HOSPITAL")


def test_removal_that_was_cut_off_after_the_revocation_goes_on(lab: CloudLab, at: At) -> None:
    lab.publish(lab.hospital("H:half"), "P:kim", "cardiology")
    run("public-cloud", "revoke", *at, "H:half")
    said = run("public-cloud", "remove-member", *at, "H:half", *WHY, "--confirm", "1")
    assert "1 row taken out" in said
    assert "is revoked" not in said


def entries(at: At, *chosen: object) -> list[dict[str, str]]:
    return [json.loads(line) for line in run("public-cloud", "log", *at, *chosen).splitlines()]


def test_log_is_chosen_by_who_when_why_and_request(lab: CloudLab, at: At) -> None:
    hospital = lab.hospital("H:logging")
    patient, doctor = lab.patient("P:logged", hospital), lab.doctor("D:logged")
    lab.client().search(doctor, lab.question(patient, doctor))
    lab.node.revoke("H:logging")
    with pytest.raises(Rejected) as raised:
        hospital[1].issue_ticket(hospital[0], "P:other")
    everything = entries(at)

    by_doctor = entries(at, "--doctor", "D:logged")
    assert "SEARCH" in {it["kind"] for it in by_doctor}
    assert all("D:logged" in json.dumps(it) for it in by_doctor)
    assert {it["patient_id"] for it in entries(at, "--patient", "P:logged") if "patient_id" in it} == {"P:logged"}
    searches = [it for it in entries(at, "--doctor", "D:logged", "--patient", "P:logged") if it["kind"] == "SEARCH"]
    assert [it["reason"] for it in searches] == ["OK"]

    refused = entries(at, "--request-id", raised.value.request_id)
    assert refused
    assert {it["request_id"] for it in refused} == {raised.value.request_id}
    assert {it["reason"] for it in refused} == {"NOT_REGISTERED"}
    assert raised.value.request_id in {it["request_id"] for it in entries(at, "--reason", "not_registered")}

    last = everything[-1]["at"]
    assert entries(at, "--since", last)
    assert all(it["at"] >= last for it in entries(at, "--since", last))
    assert entries(at, "--since", "2999-01-01T00:00Z") == []
    assert "is no reason" in run("public-cloud", "log", *at, "--reason", "a b", expect=2)
    assert "16 hexadecimal digits" in run("public-cloud", "log", *at, "--request-id", "12", expect=2)


def test_log_is_followed_until_it_is_interrupted(lab: CloudLab, at: At, tmp_path: Path) -> None:
    lab.hospital("H:before")
    following = Running(tmp_path / "followed", "public-cloud", "log", *at, "--follow", "--reason", "OK")
    try:
        until(lambda: "H:before" in following.said(), "what was logged before")
        lab.hospital("H:behind")
        until(lambda: "H:behind" in following.said(), "what is logged meanwhile")
    finally:
        following.process.send_signal(signal.SIGINT)
        following.wait()
    numbers = [json.loads(line)["sequence"] for line in following.said().splitlines()]
    assert numbers == sorted(set(numbers))
