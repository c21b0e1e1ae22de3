"""Attacks of a member that hoards: credentials, so as not to be revoked; rows of the index, so that others are not found."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from federation.cloud import index_rows
from federation.cloud.registration import ANSWER_LOST_AFTER, MOST_STANDING, register
from federation.cloud.revocation import HIGH, KEPT_FOR_LIVE
from federation.errors import (
    AlreadyRegistered,
    CredentialRevoked,
    Limit,
    NotRegistered,
    Rejected,
    RenewalNotDue,
    SignatureInvalid,
)
from federation.protocol.anchors import serial_entry
from federation.protocol.index import Location
from federation.protocol.registration import CREDENTIAL_LIFE
from federation.store import schema
from federation.store.errors import NotStored, StoreLimit
from federation.v1.registration_pb2 import RegisterRequest
from hsm import pin_from_value
from keystore.party import ISSUING, PartyKeys
from keystore.signatures import SigningKey
from tests.e2e.unserved_cloud import Clock, Unserved, looked_up, opened, unserved_cloud
from tests.grants import EVERYTHING
from tests.keys import new_signing_key

ROGUE = "H:rogue"
MOST = 2_048
"""Entries of the revocation list."""
LONG = timedelta(days=730)


@pytest.fixture
def cloud(tmp_path: Path, make_token_uri, user_pin, make_token) -> Iterator[Unserved]:
    """Give a process of a cloud."""
    pin = pin_from_value(user_pin.reveal())
    with (
        unserved_cloud(tmp_path, make_token_uri, pin) as directory,
        opened(directory, pin, Clock(), make_token) as made,
    ):
        made.node.cloud = replace(made.node.cloud, most_revocations=MOST)
        yield made


@dataclass
class Member:
    """A registered hospital and what became of it: its PRK_X, and every serial that it had."""

    cloud: Unserved
    keys: PartyKeys
    current: SigningKey
    serials: list[bytes] = field(default_factory=list)

    def renew(self, asks_for: SigningKey | None = None) -> bytes:
        """Register again by itself, for the key that it has or for another."""
        following = asks_for or self.current
        self.cloud.clock.advance(timedelta(seconds=1))
        registered = self.cloud.hospital(ROGUE, self.keys, renews=self.current, asks_for=following)
        self.current = following
        self.serials.append(registered.party.serial)
        self.cloud.node.publish()
        return registered.party.serial

    def hoard(self, times: int) -> None:
        """Register again that often, for key after key."""
        for _ in range(times):
            self.renew(new_signing_key())

    @property
    def live(self) -> bytes | None:
        """Give the serial of the live registration."""
        registration = self.cloud.node.cloud.stores.registrations.live(ROGUE)
        return None if registration is None else registration.serial

    @property
    def issued(self) -> int:
        """Give how many serials the issuance log has."""
        return len(list(self.cloud.node.cloud.stores.registrations.issued()))

    @property
    def revoked(self) -> list[bytes]:
        """Give those of its serials that are on the list."""
        listed = self.cloud.node.cloud.stores.revocations.listed(map(serial_entry, self.serials))
        return [serial for serial in self.serials if serial_entry(serial) in listed]


@pytest.fixture
def rogue(cloud: Unserved, make_token) -> Member:
    """Give a member that was registered with a ticket, as everybody is."""
    keys = PartyKeys.create(make_token("party"))
    return Member(cloud, keys, keys.signing_key, [cloud.hospital(ROGUE, keys).party.serial])


def fill(cloud: Unserved, entries: int) -> None:
    """Put that many credentials of others on the list, good for long."""
    until = cloud.clock.now + int(LONG.total_seconds() * 1000)
    found = (number.to_bytes(32, "big") for number in range(entries))
    cloud.node.cloud.stores.revocations.hear(found, expires_at=until, at=0)
    cloud.node.publish()


def test_e3_member_that_renews_all_the_time_is_revoked_all_the_same(rogue: Member) -> None:
    """A member renews for key after key, so that its superseded serials fill the list of 3,968 before the live one's turn
    comes. Few are issued, and all fall with one command.
    """
    rogue.hoard(MOST_STANDING)
    with pytest.raises(RenewalNotDue):
        rogue.hoard(1)
    assert rogue.issued == len(rogue.serials) == 1 + MOST_STANDING
    rogue.cloud.node.revoke(ROGUE)
    assert rogue.revoked == rogue.serials
    assert rogue.live is None


def test_e3_what_members_choose_puts_nothing_on_the_list(rogue: Member) -> None:
    """Members renew for key after key, and each time an earlier credential is put on the list: 800 who conspire fill four fifths
    of it, and honest renewals are refused for want of room. Nobody's choice lists anything: a third credential waits.
    """
    with suppress(RenewalNotDue):
        rogue.hoard(10)
    assert rogue.revoked == []


def test_renewal_that_nothing_asks_for_is_refused_and_uses_up_no_serial(rogue: Member) -> None:
    with pytest.raises(RenewalNotDue):
        rogue.renew()
    assert (rogue.live, rogue.issued) == (rogue.serials[0], 1)


def test_list_with_one_place_left_takes_the_live_credential(rogue: Member) -> None:
    """Others have filled the list but for one place: who is to be shut out has it, and what it had earlier waits."""
    rogue.hoard(2)
    fill(rogue.cloud, MOST - 1)
    with pytest.raises(Limit):
        rogue.cloud.node.revoke(ROGUE)
    assert rogue.revoked == rogue.serials[-1:]
    with pytest.raises(CredentialRevoked):
        rogue.cloud.node.publish().verifier.lists.require_serial_good(rogue.serials[-1])
    others_leave = sa.update(schema.revocations).where(schema.revocations.c.at == 0).values(expires_at=0)
    rogue.cloud.node.database.write(lambda connection: connection.execute(others_leave))
    rogue.cloud.node.publish()
    rogue.cloud.node.revoke(ROGUE)
    assert rogue.revoked == rogue.serials
    with pytest.raises(NotStored):
        rogue.cloud.node.revoke(ROGUE)


def test_superseded_credentials_leave_the_last_places_to_live_ones(rogue: Member) -> None:
    rogue.hoard(1)
    fill(rogue.cloud, MOST - KEPT_FOR_LIVE)
    with pytest.raises(Limit):
        rogue.cloud.node.revoke_serial(rogue.serials[0])
    assert rogue.revoked == []


def test_renewals_leave_the_last_fifth_of_the_list_to_the_operator(rogue: Member) -> None:
    """Many hold two earlier credentials each when s is rotated: once a fifth of the list is left, no renewal lets one fall."""
    rogue.hoard(MOST_STANDING)
    rogue.cloud.rotate(ISSUING)
    fill(rogue.cloud, int(HIGH * MOST))
    with pytest.raises(Limit):
        rogue.renew()
    assert rogue.live == rogue.serials[-1]
    rogue.cloud.node.revoke_serial(rogue.serials[0])
    assert rogue.revoked == rogue.serials[:1]
    rogue.renew()


def test_two_renewals_at_once_use_up_one_serial(rogue: Member) -> None:
    """A member sends many renewals at one moment, each over a challenge of its own: each would leave a serial in the log that
    says what was issued.
    """
    cloud, count = rogue.cloud.node.cloud, 6
    openings = [
        rogue.cloud.applying(ROGUE, rogue.keys, renews=rogue.current, asks_for=new_signing_key())[1]
        for _ in range(count)
    ]
    together, answered, refused = threading.Barrier(count), [], []

    def send(number: int) -> None:
        together.wait(30)
        try:
            answered.append(register(cloud, RegisterRequest(opening=openings[number])))
        except Rejected as error:
            refused.append(error.__cause__)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(answered), len(refused)) == (1, count - 1)
    # One that is late meets a live registration whose key did not sign for it.
    assert all(isinstance(it, AlreadyRegistered | NotRegistered | SignatureInvalid) for it in refused)
    assert rogue.issued == 2


def test_honest_member_that_the_clock_and_the_cloud_ask_in_one_week_renews_at_once(rogue: Member) -> None:
    """Its credential nears its end, then s is rotated, twice; the last costs the list one entry, of two renewals ago."""
    rogue.cloud.clock.advance(timedelta(days=335))
    rogue.cloud.node.publish()
    rogue.renew()
    for _ in range(2):
        rogue.cloud.clock.advance(timedelta(days=2))
        rogue.cloud.rotate(ISSUING)
        rogue.renew()
    assert rogue.revoked == rogue.serials[:1]
    with pytest.raises(RenewalNotDue):
        rogue.renew()


def test_member_whose_choices_are_used_up_still_renews_when_the_cloud_or_the_clock_asks_for_it(rogue: Member) -> None:
    rogue.hoard(MOST_STANDING)
    rogue.cloud.rotate(ISSUING)
    rogue.renew()
    with pytest.raises(RenewalNotDue):
        rogue.hoard(1)
    rogue.cloud.clock.advance(timedelta(days=321))
    rogue.cloud.node.publish()
    rogue.renew()


def test_renewal_that_is_not_due_is_told_when_it_will_be(rogue: Member) -> None:
    """Where nothing asks for it: when the credential is in its last days. Where two stand: when the first of them is over."""
    with pytest.raises(RenewalNotDue, match=r"from .* UTC on") as told:
        rogue.renew()
    stretch = rogue.cloud.node.cloud.renewal_stretch
    assert told.value.retry_after == CREDENTIAL_LIFE - stretch - timedelta(seconds=1)
    rogue.cloud.clock.advance(timedelta(days=200))
    rogue.cloud.node.publish()
    rogue.hoard(MOST_STANDING)
    with pytest.raises(RenewalNotDue) as told:
        rogue.hoard(1)
    assert told.value.retry_after < timedelta(days=165)
    rogue.cloud.clock.advance(told.value.retry_after)
    rogue.cloud.node.publish()
    rogue.hoard(1)
    assert rogue.revoked == []


def test_operator_who_revokes_an_earlier_credential_makes_room_for_a_members_choice(rogue: Member) -> None:
    rogue.hoard(MOST_STANDING)
    rogue.cloud.node.revoke_serial(rogue.serials[0])
    rogue.hoard(1)
    with pytest.raises(RenewalNotDue):
        rogue.hoard(1)
    assert rogue.revoked == rogue.serials[:1]


def test_credentials_that_fell_with_their_issuer_stand_no_more(rogue: Member) -> None:
    """s is rotated and the older s revoked: what it issued is taken by nobody, and takes nobody's place."""
    rogue.hoard(MOST_STANDING - 1)
    rogue.cloud.rotate(ISSUING)
    rogue.renew()
    with pytest.raises(RenewalNotDue):
        rogue.hoard(1)
    rogue.cloud.rotation.taint(ISSUING, 1)
    rogue.cloud.rotation.revoke(ISSUING, 1)
    rogue.cloud.node.publish()
    rogue.hoard(MOST_STANDING)
    with pytest.raises(RenewalNotDue):
        rogue.hoard(1)
    assert rogue.revoked == []


def test_honest_member_that_lost_an_answer_gets_another_credential(rogue: Member) -> None:
    """It has renewed and crashed before it took the answer: its own keys are the live ones, and nothing is due. It may ask again
    once; then it acts on by what it has, which stands, and there is a place when that is over.
    """
    rogue.cloud.rotate(ISSUING)
    rogue.renew()
    with pytest.raises(RenewalNotDue):
        rogue.renew()
    rogue.cloud.clock.advance(ANSWER_LOST_AFTER)
    rogue.cloud.node.publish()
    rogue.renew()
    rogue.cloud.clock.advance(ANSWER_LOST_AFTER)
    rogue.cloud.node.publish()
    with pytest.raises(RenewalNotDue) as told:
        rogue.renew()
    rogue.cloud.clock.advance(told.value.retry_after)
    rogue.cloud.node.publish()
    rogue.renew()


def test_e6_rogue_hospital_buries_no_patient(cloud: Unserved) -> None:
    """A hospital publishes row after row for one patient, so that a doctor has to turn page after page to find what others have.
    Its rows are bounded, and every hospital has its turn before any has a second.
    """
    union, most = cloud.node.cloud, cloud.node.cloud.most_rows_per_patient
    honest = [Location(f"H:{name}/cardiology", bytes([number]) * 16) for name in ("a", "b") for number in range(3)]
    for place in honest:
        index_rows.put_row(union, "P:wang", place)
    classes = ("cardiology", "neurology", "surgery")
    for number in range(most):
        place = Location(f"H:rogue/{classes[number % 3]}", number.to_bytes(16, "big"))
        index_rows.put_row(union, "P:wang", place)
    with pytest.raises(StoreLimit):
        index_rows.put_row(union, "P:wang", Location("H:rogue/oncology", b"r" * 16))
    index_rows.put_row(union, "P:wang", Location("H:rogue/cardiology", bytes(16)))
    found = looked_up(union, "P:wang", classes, EVERYTHING)
    assert len(found) == most + len(honest)
    # Of one turn, whoever's it is: so many of the rogue's come before what others have, and no more.
    assert set(honest) <= set(found[: index_rows.ROWS_PER_TURN + len(honest)])
    at_two, at_one = (replace(EVERYTHING, hospitals=named) for named in (["H:b", "H:absent"], ["H:b"]))
    assert len(looked_up(union, "P:wang", classes, at_two)) == 3
    assert sorted(looked_up(union, "P:wang", classes, at_one), key=str) == honest[3:]


def test_rogue_hospitals_rows_of_a_patient_are_not_read_with_others_pages(
    cloud: Unserved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page that is asked for made the cloud's token open every row of the patient: hundreds of times what it answers."""
    union = cloud.node.cloud
    for number in range(40):
        index_rows.put_row(union, "P:wang", Location("H:rogue/cardiology", number.to_bytes(16, "big")))
    opened_rows = []
    reveal = type(union.blind_index).reveal

    def counting(index: object, *row: bytes) -> Location:
        opened_rows.append(row)
        return reveal(index, *row)

    monkeypatch.setattr(type(union.blind_index), "reveal", counting)
    monkeypatch.setattr(index_rows, "ROWS_PER_PAGE", 8)
    first = index_rows.look_up(union, "P:wang", ["cardiology"], EVERYTHING)
    assert not opened_rows
    second = index_rows.look_up(union, "P:wang", ["cardiology"], EVERYTHING, first.last)
    assert len([next(second.opened) for _ in range(3)]) == len(opened_rows) == 3
    assert len([*second.opened]) == 5
    assert len(opened_rows) == 8
