"""The contract of what says whom which entries of the log are about."""

import pytest

from federation.store.accesses import Accesses
from federation.store.errors import AlreadyAdmitted, NotStored
from federation.store.log import Log
from federation.store.party import ReplayMemory
from federation.store.registrations import Registrations
from federation.store.rows import About, Act, Admission, StoredAccess
from tests.contract.store_support import NOW, sealed_entry, ticket

ANN, EVE = About(b"ann", 1), About(b"eve", 1)


def logged(database, *about):
    """Append an entry about each, and return them as they are in the tree."""
    log = Log(database)
    before = log.sequence()
    for number, it in enumerate(about):
        log.append(sealed_entry(at=NOW + number, sealed=b"%d" % number, about=it))
    log.sequence()
    return list(log.entries(after=before))


def test_accesses_of_one_patient_come_newest_first_and_no_other(database):
    entries = logged(database, ANN, None, EVE, ANN, EVE, ANN)
    accesses = Accesses(database)
    assert accesses.of([b"ann"], limit=9) == [entries[5], entries[3], entries[0]]
    assert accesses.of([b"eve"], limit=9) == [entries[4], entries[2]]
    assert accesses.of([b"lin"], limit=9) == accesses.of([], limit=9) == []
    assert [accesses.count_of(keys) for keys in ([b"ann"], [b"eve"], [b"ann", b"eve"], [b"lin"], [])] == [3, 2, 5, 0, 0]


def test_accesses_come_page_by_page_from_one_entry_to_those_before_it(database):
    entries = logged(database, *[ANN] * 7)[::-1]
    accesses = Accesses(database)
    assert accesses.of([b"ann"], limit=3) == entries[:3]
    logged(database, ANN)
    pages = [accesses.of([b"ann"], before=before, limit=3) for before in (5, 2, 1)]
    assert pages == [entries[3:6], entries[6:], []]
    assert [accesses.count_of([b"ann"], before=before) for before in (5, 2, 1)] == [4, 1, 0]


def test_accesses_under_two_generations_are_found_together_and_each_once(database):
    entries = logged(database, ANN, About(b"ann anew", 2), ANN)
    accesses = Accesses(database)
    accesses.move(StoredAccess(b"ann", 3, 1), About(b"ann anew", 2))
    assert accesses.of([b"ann anew", b"ann"], limit=9) == entries[::-1]
    assert accesses.count_of([b"ann anew", b"ann"]) == 3
    assert (accesses.count(1), accesses.count(2)) == (1, 2)


def test_access_is_named_anew_once_and_another_stays(database):
    logged(database, ANN, ANN)
    accesses = Accesses(database)
    first, second = accesses.walk()
    assert accesses.move(first, About(b"new", 2))
    assert not accesses.move(first, About(b"other", 2))
    assert list(accesses.walk()) == [second, StoredAccess(b"new", 1, 2)]
    assert accesses.move(second, None)
    assert list(accesses.walk()) == [StoredAccess(b"new", 1, 2)]


def test_access_and_its_entry_are_there_with_the_change_or_not_at_all(database):
    act = Act(sealed_entry(NOW, b"entry", ANN), Admission(b"key", NOW, NOW))
    registrations, accesses = Registrations(database), Accesses(database)
    registrations.put_ticket(ticket(), act=act)
    Log(database).sequence()
    assert [it.sealed for it in accesses.of([b"ann"], limit=9)] == [b"entry"]
    with pytest.raises(AlreadyAdmitted):
        registrations.put_ticket(ticket(), act=act)
    assert len(list(accesses.walk())) == Log(database).verify() == 1
    assert not ReplayMemory(database).admit(b"key", now=NOW, until=NOW)


def test_log_gives_an_entry_by_its_number(database):
    first, second = logged(database, ANN, None)
    log = Log(database)
    assert [log.entry(1), log.entry(2)] == [first, second]
    with pytest.raises(NotStored):
        log.entry(3)
