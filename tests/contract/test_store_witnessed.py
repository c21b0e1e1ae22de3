"""Heads of others' logs and findings, on every database."""

from dataclasses import replace

from federation.store.database import Database
from federation.store.followed import FollowedLog, FollowedLogs
from federation.store.witnessed import LogFinding, LogFindings, Witnessed, WitnessedHead

HEAD = WitnessedHead("H:alpha", "test/H:alpha/1", 3, bytes(32), b"note of three", b"ks", 1000)
LATER = replace(HEAD, size=5, root=b"\1" * 32, note=b"note of five", at=2000)
FORK = replace(LATER, root=b"\2" * 32, note=b"another note of five")
FINDING = LogFinding("H:alpha", "fork", b"held", b"ks", b"shown", b"", 1000)


def test_head_is_kept_and_goes_forward(database: Database) -> None:
    witnessed = Witnessed(database)
    assert witnessed.of("H:alpha") is None
    assert witnessed.advance(HEAD, None)
    assert witnessed.of("H:alpha") == HEAD
    assert witnessed.advance(LATER, HEAD)
    assert witnessed.all() == [LATER]


def test_head_that_was_compared_with_another_than_the_kept_one_is_not_kept(database: Database) -> None:
    witnessed = Witnessed(database)
    witnessed.advance(HEAD, None)
    assert not witnessed.advance(LATER, None)
    assert witnessed.advance(LATER, HEAD)
    assert not witnessed.advance(FORK, HEAD)
    assert witnessed.of("H:alpha") == LATER


def test_followed_logs_are_kept_by_how_far_they_came_and_forgotten_with_their_node(database: Database) -> None:
    followed = FollowedLogs(database)
    assert followed.silent_since() is None
    first, other = FollowedLog("H:alpha", "", 0, 500), FollowedLog("H:beta", "test/H:beta/1", 3, 400)
    followed.note([first, other], ["H:alpha", "H:beta"])
    assert (followed.all(), followed.silent_since()) == ([other, first], 400)
    grown = FollowedLog("H:beta", "test/H:beta/1", 5, 900)
    followed.note([grown], ["H:alpha", "H:beta"])
    assert (followed.all(), followed.silent_since()) == ([first, grown], 500)
    followed.note([], ["H:beta"])
    assert followed.all() == [grown]


def test_finding_is_kept_once_and_settled_once(database: Database) -> None:
    findings = LogFindings(database)
    assert findings.open_by_kind() == {}
    assert findings.add(FINDING)
    assert not findings.add(replace(FINDING, at=5000))
    assert findings.add(replace(FINDING, kind="cut-back", at=500))
    assert [it.kind for it in findings.all()] == ["cut-back", "fork"]
    assert findings.open_by_kind() == {"cut-back": 1, "fork": 1}
    assert findings.settle(FINDING.finding_id, at=9000)
    assert not findings.settle(FINDING.finding_id, at=9999)
    assert findings.open_by_kind() == {"cut-back": 1}
    assert findings.all()[1] == replace(FINDING, settled_at=9000)


def test_findings_of_other_heads_are_others() -> None:
    assert FINDING.finding_id != replace(FINDING, held_note=b"heldshown", shown_note=b"").finding_id


def test_heads_that_are_doubted_stay_and_are_taken_anew(database: Database) -> None:
    witnessed = Witnessed(database)
    witnessed.advance(HEAD, None)
    witnessed.doubt()
    doubted = witnessed.of("H:alpha")
    assert doubted == replace(HEAD, at=0)
    assert doubted.is_doubted
    assert witnessed.advance(HEAD, doubted)
    assert not witnessed.of("H:alpha").is_doubted
