"""A party's generations in its store: read often, changed by comparison."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.errors import Unavailable
from federation.party.generations import REREAD_SECONDS, StoredGenerations
from federation.store.database import open_database
from federation.store.party import Settings
from keystore.errors import GenerationsBroken, RotationAlreadyPrepared
from keystore.generations import Generations


@pytest.fixture
def settings(tmp_path):
    with open_database(f"sqlite:///{tmp_path}/party.sqlite") as database:
        yield Settings(database)


class Seconds:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self):
        return self.now


def prepared(purpose):
    return lambda generations: generations.prepare(purpose, 5)


def test_generations_never_changed_are_the_first_of_everything(settings):
    assert StoredGenerations(settings).read() == Generations()


def test_generations_changed_are_read_at_once_here_and_within_a_second_elsewhere(settings):
    seconds = Seconds()
    here, elsewhere = StoredGenerations(settings, seconds), StoredGenerations(settings, seconds)
    assert elsewhere.read() == here.read() == Generations()
    changed = here.change(prepared("sealing"))
    assert changed == Generations().prepare("sealing", 5)
    assert here.read() == changed
    seconds.now += REREAD_SECONDS / 2
    assert elsewhere.read() == Generations()
    seconds.now += REREAD_SECONDS / 2
    assert elsewhere.read() == changed


def test_generations_are_read_once_a_second_however_often_they_are_asked_for(settings, monkeypatch):
    reads = []
    monkeypatch.setattr(settings, "get", reads.append)
    book = StoredGenerations(settings, Seconds())
    for _ in range(9):
        book.read()
    assert len(reads) == 1


def test_generations_changed_by_another_meanwhile_are_changed_on_top(settings):
    book, other = StoredGenerations(settings), StoredGenerations(settings)
    seen = []

    def step(generations):
        if not seen:
            other.change(prepared("records"))
        seen.append(generations)
        return generations.prepare("sealing", 5)

    assert book.change(step) == Generations().prepare("records", 5).prepare("sealing", 5)
    assert seen == [Generations(), Generations().prepare("records", 5)]
    assert other.read() == book.read()


def test_generations_whose_change_is_refused_stay(settings):
    book = StoredGenerations(settings)
    kept = book.change(prepared("sealing"))
    with pytest.raises(RotationAlreadyPrepared):
        book.change(prepared("sealing"))
    assert book.read() == kept


def test_generations_that_do_not_change_are_not_written(settings):
    book = StoredGenerations(settings)
    book.change(lambda generations: generations)
    assert settings.get("generations") is None


def test_generations_that_others_change_all_the_time_are_unavailable_in_the_end(settings, monkeypatch):
    monkeypatch.setattr("federation.party.generations.PATIENCE_SECONDS", 0.3)
    settings.advance("generations", 2**62, (0).to_bytes(8, "big") + Generations().to_json())
    seen = []
    with pytest.raises(Unavailable):
        StoredGenerations(settings).change(lambda it: seen.append(it) or it.prepare("sealing", 5))
    assert len(seen) > 3


def test_generations_are_changed_by_many_at_once_and_none_gives_up(tmp_path):
    """Each change made without a pause where another one came first: under load twenty of them were used up at once."""
    purposes = [f"purpose-{number}" for number in range(24)]
    together = threading.Barrier(len(purposes))
    with open_database(f"sqlite:///{tmp_path}/party.sqlite") as database:

        def change(purpose: str) -> None:
            together.wait(30)
            StoredGenerations(Settings(database)).change(prepared(purpose))

        with ThreadPoolExecutor(len(purposes)) as threads:
            list(threads.map(change, purposes))
        kept = StoredGenerations(Settings(database)).read()
    assert all(kept.of(purpose)[-1].prepared_at == 5 for purpose in purposes)


@pytest.mark.parametrize("value", [b"", b"sequence", b"sequence{}"])
def test_generations_that_cannot_be_read_are_refused(settings, value):
    settings.put("generations", value)
    with pytest.raises(GenerationsBroken):
        StoredGenerations(settings).read()
