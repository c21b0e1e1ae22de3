"""The own log checked as a whole: its entries against their leaves, its tree against the heads that were signed of it."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from federation.errors import Corrupt
from federation.party.audit import LOG_SHREDDED, OK, SHREDDED, Audit, AuditEvent
from federation.party.log_upkeep import HEARTBEAT, REQUEST, log_upkeep, size_witnessed
from federation.party.signed_heads import SignedHeads, verify_log
from federation.protocol.log_head import LogHead, Origin, cosign, sign_head
from federation.protocol.witness_policy import WitnessPolicies, WitnessPolicy
from federation.settings import LogSettings
from federation.store.database import Database
from federation.store.errors import StoredRecordCorrupt
from federation.store.log import Log
from federation.store.log_heads import LogHeads
from federation.store.party import Evidence
from federation.store.rows import StoredCosignature, StoredHead
from federation.store.schema import log, log_entries, log_heads, log_state
from keystore.party import PartyKeys
from keystore.signatures import SigningKey
from tests.contract.store_support import drop_guards
from tests.policies import stated

WHERE = "H:north"
HOUR = 3_600_000
ANY_ONE = WitnessPolicy.read(stated(), "C:cloud")
ANY_TWO = WitnessPolicy.read(stated(2), "C:cloud")


def policies() -> WitnessPolicies:
    """Give those of a trust bundle that asks for one of anybody."""
    return WitnessPolicies((ANY_ONE,))


def event(detail: str = "") -> AuditEvent:
    return AuditEvent("TICKET", OK, detail=detail)


@pytest.fixture
def keys(token) -> PartyKeys:
    return PartyKeys.create(token)


@pytest.fixture
def audit(keys: PartyKeys, database: Database) -> Audit:
    found = Audit(Log(database), keys.sealing, where=WHERE)
    for number in range(3):
        found.record(event(str(number)), now=number + 1)
    Log(database).sequence()
    return found


def signed(database: Database, keys: PartyKeys, size: int, *, at: int = 0, number: int = 1) -> StoredHead:
    """Sign a head of the log as it was, and keep it."""
    head = LogHead(str(Origin.of("medunion.example", WHERE, number)), size, Log(database).root(size))
    kept = StoredHead(number, size, head.root, at, sign_head(head, keys.signing_key))
    LogHeads(database).put(kept)
    return kept


def newest_believed(book: LogHeads, policy: WitnessPolicy) -> StoredHead | None:
    return book.newest_cosigned(policy.cosignatures, policy.hospitals, policy.cloud_id)


def heads(database: Database, keys: PartyKeys) -> SignedHeads:
    return SignedHeads(LogHeads(database), [keys.signing_key.verifying_key], gave_keys_up=False)


def test_log_whose_tree_entries_and_heads_agree_is_told_with_its_newest_head(audit, keys, database) -> None:
    for size in (1, 3):
        signed(database, keys, size)
    counted: list[int] = []
    found = verify_log(audit, heads(database, keys), counted.append)
    assert (found.entries, found.heads, found.newest.size, sum(counted)) == (3, 2, 3, 3)


def rewritten(database: Database) -> None:
    """Take the newest entry out of a log and of its tree, as one who owns the database can."""

    def step(connection: sa.Connection) -> None:
        drop_guards(connection)
        connection.execute(sa.delete(log).where(log.c.sequence == 3))
        connection.execute(sa.delete(log_entries).where(log_entries.c.sequence == 3))
        connection.execute(sa.update(log_state).values(size=2))

    database.write(step)


def test_log_that_its_owner_rewrites_with_its_tree_holds_where_no_head_was_signed(audit, keys, database) -> None:
    """Nothing in the database itself tells of an entry that its owner takes away; the head of before does."""
    rewritten(database)
    assert audit.verify() == 2


def test_corrupt_log_that_is_shorter_than_a_head_that_was_signed(audit, keys, database) -> None:
    signed(database, keys, 3)
    rewritten(database)
    with pytest.raises(StoredRecordCorrupt):
        verify_log(audit, heads(database, keys))


def test_corrupt_log_in_which_another_entry_stands_where_a_head_was_signed(audit, keys, database) -> None:
    signed(database, keys, 3)
    rewritten(database)
    audit.record(event("another"), now=3)
    with pytest.raises(StoredRecordCorrupt):
        verify_log(audit, heads(database, keys))


def test_corrupt_head_that_is_not_signed_by_this_node(audit, keys, database) -> None:
    kept = signed(database, keys, 3)
    forged = replace(kept, note=kept.note[:-8] + b"AAAAAA=\n")
    database.write(lambda connection: connection.execute(sa.update(log_heads).values(note=forged.note)))
    with pytest.raises(Corrupt):
        verify_log(audit, heads(database, keys))


def test_head_of_a_key_that_was_given_up_counts_by_its_root(audit, keys, database) -> None:
    signed(database, keys, 3)
    ended = SignedHeads(LogHeads(database), [], gave_keys_up=True)
    assert verify_log(audit, ended).heads == 1
    with pytest.raises(Corrupt):
        verify_log(audit, replace(ended, gave_keys_up=False))
    rewritten(database)
    with pytest.raises(StoredRecordCorrupt):
        verify_log(audit, ended)


def test_corrupt_entry_that_stands_at_anothers_leaf(keys, database) -> None:
    """Two entries of one moment, sealed as they were, in each other's place."""
    audit = Audit(Log(database), keys.sealing, where=WHERE)
    for number in range(2):
        audit.record(event(str(number)), now=1)
    first, second = Log(database).entries()
    swapped = sa.update(log_entries).where(log_entries.c.sequence == 1).values(sealed=second.sealed)
    database.write(lambda connection: connection.execute(swapped))
    assert Log(database).verify() == 2
    with pytest.raises(Corrupt, match=r"entry 1 .* commits to"):
        audit.verify()
    assert first.leaf != second.leaf


def test_entry_past_its_time_is_shredded_and_the_log_says_so_and_holds(audit, keys, database) -> None:
    kept = signed(database, keys, 3)
    assert audit.shred(before=3, now=9) == 2
    assert audit.shred(before=3, now=9) == 0
    told = [(it.event.kind, it.event.detail) for it in audit.entries()]
    assert told == [(SHREDDED, "")] * 2 + [("TICKET", "2"), (LOG_SHREDDED, "entries up to 2, whose time is over")]
    assert verify_log(audit, heads(database, keys)).entries == 4
    assert Log(database).root(3) == kept.root


def shred(audit: Audit, database: Database, policy: WitnessPolicy = ANY_ONE, *, before: int) -> int:
    """Shred as the chore of a server does."""
    return audit.shred(before=before, now=9_000, witnessed=size_witnessed(LogHeads(database), policy, before))


def cosigned(
    database: Database, head: StoredHead, key: SigningKey, *, at: int, noted_at: int, by: str = "H:south"
) -> None:
    """Let a witness cosign a head at a time by its clock, of which this node has the line at one by its own."""
    line = cosign(head.note, key, by, at)
    LogHeads(database).cosign(StoredCosignature(head.number, head.size, by, line, noted_at))


@pytest.fixture
def dated_ahead(keys: PartyKeys, database: Database) -> Audit:
    """Four entries, of which a clock dated the second in a hundred years."""
    found = Audit(Log(database), keys.sealing, where=WHERE)
    for at in (1_000, 3_155_760_000_000, 3_000, 4_000):
        found.record(event(), now=at)
        Log(database).sequence()
    return found


def test_entry_that_a_clock_dated_ahead_is_shredded_by_when_its_head_was_cosigned(dated_ahead, keys, database) -> None:
    """A log whose heads nobody cosigned waits behind such an entry; where a witness did, none waits behind any."""
    assert shred(dated_ahead, database, before=5_000) == 1
    cosigned(database, signed(database, keys, 3, at=3_500), keys.signing_key, at=3_600, noted_at=3_700)
    assert shred(dated_ahead, database, before=3_700) == 0
    assert shred(dated_ahead, database, before=3_701) == 2
    assert Log(database).shredded() == 3
    assert dated_ahead.verify() == 6


@pytest.mark.parametrize(
    ("signed_at", "at", "noted_at"), [(1, 9_000, 1), (9_000, 1, 1), (1, 1, 9_000)], ids=["witness", "node", "both"]
)
def test_entry_is_not_shredded_early_by_one_clock_that_is_behind(
    dated_ahead, keys, database, signed_at: int, at: int, noted_at: int
) -> None:
    cosigned(database, signed(database, keys, 4, at=signed_at), keys.signing_key, at=at, noted_at=noted_at)
    shred(dated_ahead, database, before=2_000)
    assert Log(database).shredded() == 1


@pytest.mark.parametrize("second", ["H:west", "C:cloud"])
def test_entry_is_not_shredded_by_fewer_witnesses_than_the_policy_asks_for(
    dated_ahead, keys, database, second: str
) -> None:
    """One witness on its side rids nobody of anything; nor does a second of the public, or one who says a later time."""
    head = signed(database, keys, 4, at=100)
    cosigned(database, head, keys.signing_key, at=100, noted_at=100)
    cosigned(database, head, keys.signing_key, at=100, noted_at=100, by="public w.example/w")
    assert shred(dated_ahead, database, ANY_TWO, before=2_000) == 1
    cosigned(database, signed(database, keys, 3, at=100), keys.signing_key, at=100, noted_at=100, by=second)
    cosigned(database, head, keys.signing_key, at=5_000, noted_at=100, by="H:east")
    assert shred(dated_ahead, database, ANY_TWO, before=2_000) == 0
    cosigned(database, head, keys.signing_key, at=100, noted_at=100, by=second)
    assert shred(dated_ahead, database, ANY_TWO, before=2_000) > 0
    assert Log(database).shredded() == 4


def test_line_of_a_witness_that_the_policy_does_not_name_shreds_nothing(dated_ahead, keys, database) -> None:
    named = WitnessPolicy.read(stated(1, ["H:west"], public_cloud=True), "C:cloud")
    cosigned(database, signed(database, keys, 4, at=100), keys.signing_key, at=100, noted_at=100)
    assert shred(dated_ahead, database, named, before=2_000) == 1


def beat(audit: Audit, database: Database, now: int) -> list[str]:
    """Let a server's chore look, and sign what there is then; return the kinds of all entries."""
    upkeep = {it.name: it for it in log_upkeep(database, audit, LogSettings(), policies, lambda: now)}
    upkeep["heartbeat"].act()
    return [it.event.kind for it in audit.entries()]


def test_log_that_rests_says_so_every_ten_minutes(audit, keys, database) -> None:
    signed(database, keys, 3, at=1_000_000)
    assert HEARTBEAT not in beat(audit, database, 1_599_999)
    assert beat(audit, database, 1_600_000).count(HEARTBEAT) == 1
    signed(database, keys, 4, at=1_600_100)
    assert beat(audit, database, 1_700_000).count(HEARTBEAT) == 1


def test_log_whose_head_a_clock_dated_ahead_says_that_it_is_there(audit, keys, database) -> None:
    signed(database, keys, 3, at=3_155_760_000_000)
    assert beat(audit, database, 1_000).count(HEARTBEAT) == 1


def test_log_without_a_head_says_that_it_is_there(audit, database) -> None:
    assert beat(audit, database, 1_000).count(HEARTBEAT) == 1


def test_evidence_of_who_asked_goes_with_the_entries_of_its_time(audit, database) -> None:
    year, evidence = 365 * 24 * HOUR, Evidence(database)
    for kind, at in ((REQUEST, 0), (REQUEST, 3 * year), ("puback", 0)):
        evidence.add(kind, b"session", b"sealed", at=at)
    upkeep = log_upkeep(database, audit, LogSettings(retention_years=2), policies, lambda: 4 * year)
    {it.name: it for it in upkeep}["sweep-log"].act()
    assert [(kind, at) for kind, _, _, at in evidence.all()] == [("puback", 0), (REQUEST, 3 * year)]


def test_corrupt_where_an_entry_is_missing_whose_time_is_not_over(audit, database) -> None:
    audit.shred(before=2, now=9)
    database.write(lambda connection: connection.execute(sa.delete(log_entries).where(log_entries.c.sequence == 2)))
    with pytest.raises(StoredRecordCorrupt, match="entry 2"):
        audit.verify()


def test_heads_of_long_ago_are_few_of_an_hour_with_the_first_that_was_cosigned(audit, keys, database) -> None:
    for number in range(20):
        audit.record(event(str(number)), now=10 + number)
    Log(database).sequence()
    book = LogHeads(database)
    for size in range(1, 21):
        signed(database, keys, size, at=size * HOUR // 10)
    for size in (4, 5, 17):
        book.cosign(StoredCosignature(1, size, "C:cloud", b"line\n", 0))
    assert newest_believed(book, ANY_ONE).size == 17
    assert book.sweep(before=15 * HOUR // 10) == 11
    assert [head.size for head in book.all()] == [1, 4, 10, *range(15, 21)]
    assert [len(book.cosignatures(1, size)) for size in (4, 5, 17)] == [1, 0, 1]
    assert book.sweep(before=99 * HOUR) == 4
    assert [head.size for head in book.all()] == [1, 4, 10, 17, 20]


def test_heads_are_believed_by_the_policy_alone(audit, keys, database) -> None:
    audit.record(event("4"), now=4)
    audit.record(event("5"), now=5)
    Log(database).sequence()
    book = LogHeads(database)
    for size, *witnesses in [(1, "H:south", "C:cloud"), (2, "H:south", "public east"), (3, "C:other", "P:wang"), (4,)]:
        signed(database, keys, size, at=size)
        for witness_id in witnesses:
            book.cosign(StoredCosignature(1, size, witness_id, b"line\n", 0))
    of_two, of_north = stated(1, ["H:south", "H:west"], public_cloud=False), stated(1, ["H:north", "H:west"])
    asked = {"one": ANY_ONE, "two": ANY_TWO}
    asked |= {name: WitnessPolicy.read(it, "C:cloud") for name, it in (("of two", of_two), ("of north", of_north))}
    found = {name: newest_believed(book, policy).size for name, policy in asked.items()}
    assert found == {"one": 2, "two": 1, "of two": 2, "of north": 1}
    assert newest_believed(book, WitnessPolicy.read(stated(3), "C:cloud")) is None


def test_heads_of_long_ago_are_kept_with_the_first_of_each_number_of_lines(audit, keys, database) -> None:
    audit.record(event("4"), now=4)
    audit.record(event("5"), now=5)
    Log(database).sequence()
    book = LogHeads(database)
    for size, count in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 0)]:
        signed(database, keys, size, at=size)
        for number in range(count):
            book.cosign(StoredCosignature(1, size, f"H:{number}", b"line\n", 0))
    assert book.sweep(before=99 * HOUR) == 1
    assert [head.size for head in book.all()] == [1, 2, 3, 5]
