"""Maintenance: announced once, renewed when due, swept when over; the outbox's patience."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from federation.errors import DepartmentForeign, Rejected, Unavailable
from federation.hospital.maintenance import Maintenance
from federation.hospital.outbox import LONGEST_PAUSE_MS, Outbox, pause_after
from federation.party.chores import ChoreRunner
from federation.party.lists import FollowedLists
from federation.party.member import Member
from federation.protocol.anchors import Lists
from federation.protocol.statements import peek_statement
from federation.v1.directory_pb2 import WatchDirectoryResponse
from federation.v1.membership_pb2 import RenewalReceipt
from federation.v1.statement_pb2 import EncryptionKeyStatement, RevocationExcerpt, SignedStatement
from tests.hospital_lab import HospitalLab
from tests.simulator import Federation


class Announcements:
    """The public cloud of the simulator, as maintenance calls it; it does not answer while `down`."""

    def __init__(self, lab: HospitalLab) -> None:
        self.lab = lab
        self.down = False
        self.renewed: list[tuple[bytes, str | None]] = []

    def refresh(self, member: Member) -> Lists:
        cloud = self.lab.federation.cloud
        cloud.hand_over(cloud.directory(), member)
        return member.verifier().lists

    def all_shards(self, held_crls: Sequence[bytes]) -> list[RevocationExcerpt]:
        return self.lab.federation.cloud.all_shards(held_crls)

    def bundles_after(self, sequence: int) -> list[SignedStatement]:
        return self.lab.federation.cloud.bundles_after(sequence)

    @contextmanager
    def watch(self, held: FollowedLists) -> Iterator[Iterator[WatchDirectoryResponse]]:
        assert held is self.lab.hospital.member.lists
        cloud = self.lab.federation.cloud
        yield (cloud.changes(cloud.directory()) for _ in range(2))

    def renew(self, member, address=None) -> RenewalReceipt:
        now = self.lab.federation.clock.now
        statement = member.epochs.rotate(now) if member.epochs.is_due(now) else member.epochs.current(now)
        if self.down:
            raise Unavailable("no answer")
        key_id = peek_statement(EncryptionKeyStatement, statement).key_id
        self.renewed.append((key_id, address))
        return RenewalReceipt(key_id=key_id, done_at=now)


def maintained(lab: HospitalLab, address: str = "localhost:1") -> tuple[Maintenance, Announcements]:
    cloud = Announcements(lab)
    return Maintenance(lab.hospital, cloud, lab.outbox, address, {}), cloud


def test_a_key_and_address_are_announced_once(lab: HospitalLab) -> None:
    kept, cloud = maintained(lab)
    assert kept.announce()
    assert not kept.announce()
    moved, _ = maintained(lab, "localhost:2")
    assert moved.announce()
    assert len(cloud.renewed) == 1


def test_an_epoch_whose_announcement_failed_is_announced_again(own_federation: Federation, tmp_path: Path) -> None:
    with HospitalLab(own_federation, tmp_path) as lab:
        kept, cloud = maintained(lab)
        kept.announce()
        own_federation.clock.advance(timedelta(days=6, hours=1))
        own_federation.refresh()
        cloud.down = True
        kept.prepare(ChoreRunner())  # survives
        cloud.down = False
        assert kept.announce()
    (first, _), (second, _) = cloud.renewed
    assert first != second


def test_lists_that_the_stream_brings_are_taken(lab: HospitalLab) -> None:
    kept, _ = maintained(lab)
    lab.federation.refresh(lab.hospital.member)  # what others have had lists made for is behind it
    before = lab.hospital.member.verifier().lists.sequence
    kept.follow_once()
    assert lab.hospital.member.verifier().lists.sequence == before + 2


def test_a_publication_that_the_cloud_refuses_stays_and_is_told(lab: HospitalLab) -> None:
    lab.import_files()

    def refuse(_: object) -> None:
        raise Rejected("the message was not accepted") from DepartmentForeign("not yours")

    assert Outbox(lab.hospital, refuse).publish_due() == 0
    assert lab.hospital.stores.outbox.size() == 1
    assert lab.reasons == ["DEPARTMENT_FOREIGN"]


def test_attempts_grow_rarer_to_ten_minutes() -> None:
    pauses = [pause_after(attempts) for attempts in range(40)]
    assert pauses[:3] == [2_000, 4_000, 8_000]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_MS
