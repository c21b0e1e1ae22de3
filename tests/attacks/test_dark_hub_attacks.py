"""The public cloud is silent, or somebody makes it so: what its last list lets in, for how long, and what the log says of it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import (
    EmergencyRefused,
    GrantRevoked,
    NewerThanList,
    Rejected,
    StaleRevocationList,
    Unavailable,
)
from federation.hospital.outbox import Outbox
from federation.party.crls import MOST_CRL_BYTES
from federation.party.grace import LateClock
from federation.party.member import Member
from federation.protocol.access import AccessEvent, ToHospital
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.protocol.verifier import VerifiedParty
from federation.store.party import Settings
from federation.v1.publication_pb2 import Publication
from federation.v1.record_pb2 import PURPOSE_READ, Scope
from federation.v1.statement_pb2 import ROLE_HOSPITAL, SignedStatement
from federation.wire.fetching import Fetcher
from hsm import Token
from keystore.identities import ANY, HospitalId
from tests.emergencies import REASON, declared, let_in
from tests.grants import wide
from tests.hospital_lab import Client, HospitalLab, ecg, encounter_of, report
from tests.list_server import ListServer, list_server
from tests.mallory import refused
from tests.simulator import Federation
from tests.sqlite_stores import new_database
from tests.waiting import until

GRACE = timedelta(hours=72)
LIST = timedelta(hours=1)
LAST_HOUR = LIST + GRACE - timedelta(minutes=1)
MONTH = wide(life=timedelta(days=30))


@dataclass
class DarkHub:
    """A hospital whose last word from the cloud lies behind it; authorities publish on."""

    lab: HospitalLab
    client: Client
    server: ListServer
    handle: bytes

    @property
    def federation(self) -> Federation:
        return self.lab.federation

    def goes_on(self, duration: timedelta) -> None:
        """Let time pass in which nobody hears from the cloud."""
        self.federation.clock.advance(duration)
        self.server.files["/board.crl"] = self.federation.authority.crl()
        fetcher = Fetcher(MOST_CRL_BYTES, ca=self.server.ca)
        self.federation.hospital_a.follow_authorities(fetcher, self.federation.clock.now)

    def read(self, grant: SignedStatement, doctor: Member | None = None, on_duty_at: Member | None = None) -> bytes:
        intent = self.federation.intent(grant, handles=(self.handle,), doctor=doctor, hospital=on_duty_at)
        return self.client.read(intent, doctor=doctor)[0]

    def trusts(self) -> VerifiedParty:
        """What the hospital decides by holds now."""
        hospital, now = self.federation.hospital_a, self.federation.clock.now
        return hospital.verifier().party(hospital.key_statement, ROLE_HOSPITAL, now=now)

    def read_in_emergency(self) -> bytes:
        shown: Shown = declared(self.federation)
        scope = Scope(purpose=PURPOSE_READ, department_class=ANY)
        return self.client.read(Intent(shown, scope, self.federation.entropy(32)))[0]

    @property
    def accesses(self) -> list[AccessEvent]:
        return [it.event for it in self.lab.hospital.audit.entries() if isinstance(it.event, AccessEvent)]

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.accesses]


@contextmanager
def dark_hub(make_token: Callable[[str], Token], directory: Path, grace: timedelta) -> Iterator[DarkHub]:
    with list_server(directory) as server:
        federation = Federation(make_token, os.urandom, grace)
        federation.authority.crl_url = server.url()
        federation.cloud.publish_bundle()
        federation.refresh()
        with HospitalLab(federation, directory) as lab:
            handle = lab.import_files()
            with let_in(lab, EmergencyPolicy(frozenset({REASON}))).serving() as client:
                yield DarkHub(lab, client, server, handle)


@pytest.fixture
def hub(make_token: Callable[[str], Token], tmp_path: Path) -> Iterator[DarkHub]:
    """Give a hospital that goes on for 72 hours."""
    with dark_hub(make_token, tmp_path, GRACE) as made:
        yield made


@pytest.fixture
def strict(make_token: Callable[[str], Token], tmp_path: Path) -> Iterator[DarkHub]:
    """Give one that does not go on at all."""
    with dark_hub(make_token, tmp_path, timedelta(0)) as made:
        yield made


def test_list_kept_back_lets_a_revoked_grant_in_for_the_grace_and_no_longer_and_the_log_says_so(hub: DarkHub) -> None:
    """Who holds a hospital's line keeps back the list on which the patient's revocation stands. It gains the grace."""
    grant = hub.federation.grant(MONTH)
    hub.federation.refresh()
    hub.goes_on(timedelta(hours=2))
    hub.federation.cloud.revoked_serials.append(hub.federation.party(hub.federation.patient).self_.serial)
    assert hub.read(grant)
    until(lambda: hub.reasons[-1] == "OK", "the end is logged")
    assert [event.list_age_seconds for event in hub.accesses] == [7200, 7200]
    hub.goes_on(LAST_HOUR - timedelta(hours=2))
    assert hub.read(grant)
    until(lambda: hub.reasons[-1] == "OK", "the end is logged")
    assert hub.accesses[-1].list_age_seconds == LAST_HOUR.total_seconds()
    hub.goes_on(timedelta(minutes=1))
    with refused(StaleRevocationList):
        hub.trusts()
    with pytest.raises(StaleRevocationList):
        hub.federation.address(hub.federation.hospital_a)


def test_list_kept_back_lets_nothing_in_where_there_is_no_grace(strict: DarkHub) -> None:
    grant = strict.federation.grant(MONTH)
    strict.federation.refresh()
    strict.goes_on(LIST - timedelta(minutes=1))
    assert strict.read(grant)
    strict.goes_on(timedelta(minutes=1))
    with refused(StaleRevocationList):
        strict.trusts()


def test_what_the_last_list_names_is_honoured_at_no_time(hub: DarkHub) -> None:
    grant = hub.federation.grant(MONTH)
    hub.federation.revoke_grant(grant)
    for passed in (timedelta(hours=2), timedelta(hours=69)):
        hub.goes_on(passed)
        with refused(GrantRevoked):
            hub.read(grant)
    assert hub.reasons == ["GRANT_REVOKED", "GRANT_REVOKED"]


def test_grant_that_is_newer_than_the_last_list_opens_nothing(hub: DarkHub) -> None:
    """A thief of a patient's key, which was revoked when the hospital no longer heard of it, signs another grant."""
    hub.goes_on(LIST - timedelta(minutes=1))
    assert hub.read(hub.federation.grant(MONTH)), "as long as the list is current"
    hub.goes_on(timedelta(minutes=1))
    with refused(NewerThanList):
        hub.read(hub.federation.grant(MONTH))
    assert hub.reasons[-1] == "NEWER_THAN_LIST"


def test_duty_of_another_hospital_that_is_newer_opens_nothing_and_closes_nothing(hub: DarkHub) -> None:
    """H:beta, revoked when H:alpha heard of it no longer, sends whom it likes. A grant to a doctor asks for no duty."""
    federation = hub.federation
    there = ToHospital(HospitalId(federation.hospital_b.identity))
    to_hospital, to_doctor = federation.grant(MONTH, grantee=there), federation.grant(MONTH)
    federation.refresh()
    hub.goes_on(timedelta(hours=70))
    with refused(NewerThanList):
        hub.read(to_hospital, on_duty_at=federation.hospital_b)
    assert hub.read(to_doctor, on_duty_at=federation.hospital_b)


def test_credential_that_is_newer_than_the_last_list_does_nothing(hub: DarkHub) -> None:
    """A doctor who registered meanwhile may have been revoked meanwhile."""
    grant = hub.federation.grant(MONTH)
    hub.federation.refresh(hub.federation.hospital_a)
    hub.federation.clock.advance(timedelta(minutes=1))
    newcomer = hub.federation.new_doctor("D:new")
    hub.lab.on_duty("D:new", "cardiology")
    hub.goes_on(LIST)
    with pytest.raises(Rejected):
        hub.read(grant, newcomer)
    assert hub.lab.reasons[-1] == "NEWER_THAN_LIST"


def test_emergencies_and_deposits_go_on_with_what_is_newer(hub: DarkHub) -> None:
    hub.goes_on(timedelta(hours=70))
    assert hub.read_in_emergency()
    until(lambda: hub.reasons[-1] == "OK", "the end is logged")
    encounter = encounter_of(hub.federation, ecg(), report(hub.federation), hub.federation.grant())
    receipt, _ = hub.client.deposit(encounter)
    assert receipt.handle
    assert hub.accesses[-1].kind == "STORE"
    assert {event.list_age_seconds for event in hub.accesses} == {70 * 3600}


def test_emergency_is_let_in_by_policy_alone_though_the_hub_is_dark(hub: DarkHub) -> None:
    hub.goes_on(timedelta(hours=70))
    shown = declared(hub.federation, reason_code="curious")
    scope = Scope(purpose=PURPOSE_READ, department_class=ANY)
    with refused(EmergencyRefused):
        hub.client.read(Intent(shown, scope, hub.federation.entropy(32)))


def test_clock_that_is_set_back_stretches_no_grace(hub: DarkHub) -> None:
    """Who sets a hospital's clock back, again and again, would have it live in the last hour of its grace for ever."""
    grant, clock = hub.federation.grant(MONTH), hub.federation.clock
    hub.federation.refresh()
    hub.goes_on(timedelta(hours=60))
    assert hub.read(grant)
    member = hub.federation.hospital_a
    unremembered = LateClock(Settings(new_database()), GRACE)
    for back in (timedelta(hours=10), timedelta(hours=59, minutes=30)):
        clock.advance(-back)
        member.lists.current().require_current(
            clock.now, skew_ms=0, grace=unremembered.grace(member.lists.current())
        )  # the attack
        with refused(StaleRevocationList):
            hub.trusts()
        clock.advance(back)
    assert hub.read(grant)


def test_clock_that_was_set_back_while_nothing_ran_is_known_from_the_store(hub: DarkHub) -> None:
    hub.goes_on(timedelta(hours=60))
    member = hub.federation.hospital_a
    hub.federation.party(member)
    settings, lists = hub.lab.hospital.member._settings, member.lists.current()
    assert LateClock(settings, GRACE).grace(lists).seen == hub.federation.clock.now


def test_list_that_comes_begins_anew(hub: DarkHub) -> None:
    """A clock that ran far ahead for a while takes no grace away for ever."""
    hub.goes_on(timedelta(hours=60))
    hub.federation.party(hub.federation.hospital_a)
    hub.federation.clock.advance(timedelta(hours=-59))
    with refused(StaleRevocationList):
        hub.trusts()
    hub.federation.refresh()
    hub.goes_on(timedelta(hours=2))
    assert hub.trusts()


def test_hub_that_is_back_ends_what_was_revoked_meanwhile(hub: DarkHub) -> None:
    grant = hub.federation.grant(MONTH)
    hub.federation.refresh()
    hub.goes_on(timedelta(hours=70))
    assert hub.read(grant)
    hub.federation.revoke_grant(grant)
    with refused(GrantRevoked):
        hub.read(grant)


def test_what_is_published_waits_for_three_days_and_none_is_lost(hub: DarkHub) -> None:
    """Each attempt puts its entry off; the ones behind it are not tried in vain."""

    def silent(_publication: Publication) -> SignedStatement:
        raise Unavailable("the public cloud does not answer")

    lab, dark = hub.lab, Outbox(hub.lab.hospital, silent)
    for _ in range(6):
        hub.goes_on(timedelta(hours=12))
        encounter = encounter_of(hub.federation, ecg(), report(hub.federation), hub.federation.grant())
        hub.client.deposit(encounter)
        assert dark.publish_due() == 0
    assert lab.hospital.stores.outbox.size() == 7, "the import's, too"
    hub.federation.refresh()
    hub.goes_on(timedelta(minutes=10))
    assert lab.outbox.publish_due() == 7
    assert lab.hospital.stores.outbox.size() == 0
    assert len({publication.handle for publication in lab.published}) == 7
