"""What a ring of keys asks of its token, and what is remembered of it (docs/adr/0032-speed.md)."""

import hashlib
import hmac
import threading
from dataclasses import dataclass, field

import pytest

from hsm.errors import TokenUnavailable
from keystore import keyring
from keystore.errors import GenerationRevoked, SealBroken
from keystore.generations import Generations, purpose_and_number
from keystore.keyring import KeyRing, Together, TokenIndexing, TokenSealing
from keystore.transcript import text, transcript
from remembered import TABLE

PURPOSE = "sealing"


@dataclass
class Token:
    """HMAC keys of one purpose by their labels, as a token has them: counts what it is asked, and may be away."""

    asked: list[tuple[int, bytes]] = field(default_factory=list)
    away: bool = False
    generations: Generations = field(default_factory=Generations)
    seconds: float = 0.0

    def read(self) -> Generations:
        return self.generations

    def ring(self) -> KeyRing:
        return KeyRing(PURPOSE, lambda label: Key(self, purpose_and_number(label)[1]), self, lambda: 10)

    def sealing(self) -> TokenSealing:
        return TokenSealing(PURPOSE, self.ring(), lambda: self.seconds)

    def indexing(self) -> TokenIndexing:
        return TokenIndexing(self.ring(), lambda: self.seconds)

    def rotate(self) -> None:
        active = self.generations.active(PURPOSE, 10).number
        self.generations = self.generations.prepare(PURPOSE, 1).activate(PURPOSE, active, active)

    def revoke(self, number: int) -> None:
        self.generations = self.generations.revoke(PURPOSE, number, 10)


@dataclass
class Key:
    token: Token
    number: int

    def prf(self, message: bytes) -> bytes:
        if self.token.away:
            raise TokenUnavailable("away")
        self.token.asked.append((self.number, message))
        return hmac.digest(bytes([self.number]) * 32, message, "sha256")


@pytest.fixture
def token():
    return Token()


def batch_of(sealed):
    return sealed[2:18]


def test_what_a_process_seals_is_one_batch_of_which_the_token_is_asked_once(token):
    sealing = token.sealing()
    sealed = [sealing.seal(b"content", b"where") for _ in range(3)]
    assert len({batch_of(it) for it in sealed}) == 1
    assert len({it[18:34] for it in sealed}) == 3, "each seal has a salt, so a key, of its own"
    assert token.asked == [(1, transcript("seal-batch", text(PURPOSE), b"\0\1", batch_of(sealed[0])))]
    assert [sealing.open(it, b"where") for it in sealed] == [b"content"] * 3
    assert len(token.asked) == 1


def test_another_process_seals_under_another_batch_and_asks_once_to_open(token):
    sealed = [token.sealing().seal(b"content", b"") for _ in range(2)]
    assert batch_of(sealed[0]) != batch_of(sealed[1])
    del token.asked[:]
    other = token.sealing()
    assert [other.open(sealed[0], b"") for _ in range(3)] == [b"content"] * 3
    assert len(token.asked) == 1


def test_what_is_sealed_together_is_a_batch_of_its_own(token):
    sealing = token.sealing()
    one, two = (sealing.seal(b"content", b"", Together(b"a record")) for _ in range(2))
    another, alone = sealing.seal(b"content", b"", Together(b"another")), sealing.seal(b"content", b"")
    assert batch_of(one) == batch_of(two) == hashlib.sha256(transcript("batch", b"a record")).digest()[:16]
    assert len({batch_of(it) for it in (one, another, alone)}) == 3
    assert sealing.open(one, b"", Together(b"a record", "D:chen")) == b"content"


def test_what_is_of_another_batch_than_it_belongs_to_is_refused(token):
    sealing = token.sealing()
    for sealed in (sealing.seal(b"content", b"", Together(b"another")), sealing.seal(b"content", b"")):
        with pytest.raises(SealBroken):
            sealing.open(sealed, b"", Together(b"a record"))


def test_what_belongs_together_is_remembered_for_its_asker_alone(token):
    """How long an answer takes tells nobody that another one asked (docs/threat-model.md)."""
    sealing, indexing = token.sealing(), token.indexing()
    sealed = sealing.seal(b"content", b"", Together(b"a patient", "D:chen"))
    indexing.names("pat", "P:wang", asker="D:chen")
    del token.asked[:]
    for asker, calls in (("D:chen", 0), ("D:other", 2), ("D:other", 0), ("", 2), ("", 2)):
        sealing.open(sealed, b"", Together(b"a patient", asker))
        indexing.names("pat", "P:wang", asker=asker)
        assert len(token.asked) == calls, asker
        del token.asked[:]


def test_what_was_sealed_together_stays_together_when_it_is_sealed_anew(token):
    sealing = token.sealing()
    together = Together(b"a record", "H:alpha")
    sealed = [sealing.seal(b"content", b"", together) for _ in range(2)]
    token.rotate()
    anew = [sealing.reseal(it, b"", together) for it in sealed]
    assert {batch_of(it) for it in anew} == {batch_of(it) for it in sealed}
    assert [sealing.open(it, b"", together) for it in anew] == [b"content"] * 2
    assert [number for number, _ in token.asked] == [1, 1, 2]


def test_a_batch_ends_after_so_many_seals_whoever_makes_them(token, monkeypatch):
    monkeypatch.setattr(keyring, "SEALS_PER_BATCH", 10)
    sealing, sealed, begin = token.sealing(), [], threading.Barrier(8)

    def seal() -> None:
        begin.wait()
        sealed.extend(sealing.seal(b"", b"") for _ in range(20))

    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batches = [batch_of(it) for it in sealed]
    assert max(map(batches.count, set(batches))) <= 10
    assert len(set(batches)) >= 16


def test_a_batch_ends_after_an_hour_and_its_key_is_asked_for_again_after_minutes(token):
    sealing = token.sealing()
    first = sealing.seal(b"content", b"")
    token.seconds = TABLE["keys of batches of seals"].seconds
    assert batch_of(sealing.seal(b"content", b"")) == batch_of(first)
    assert len(token.asked) == 2
    token.seconds = TABLE["batch to seal under"].seconds
    assert batch_of(sealing.seal(b"content", b"")) != batch_of(first)


def test_a_revoked_generation_opens_nothing_though_its_batch_is_remembered(token):
    sealing = token.sealing()
    old = sealing.seal(b"content", b"")
    token.rotate()
    assert sealing.open(old, b"") == b"content"
    token.revoke(1)
    with pytest.raises(SealBroken) as refused:
        sealing.open(old, b"")
    assert isinstance(refused.value.__cause__, GenerationRevoked)


def test_any_change_of_the_generations_forgets_what_is_remembered(token):
    sealing = token.sealing()
    sealed = sealing.seal(b"content", b"")
    for change in (token.rotate, token.rotate, lambda: token.revoke(2)):
        before = len(token.asked)
        assert sealing.open(sealed, b"") == b"content"
        change()
        assert sealing.open(sealed, b"") == b"content"
        assert token.asked[before:][-1][0] == 1, "asked anew"


def test_a_fault_of_the_token_is_not_remembered(token):
    sealing, indexing = token.sealing(), token.indexing()
    token.away = True
    for ask in (lambda: sealing.seal(b"content", b""), lambda: indexing.names("pat", "P:wang")):
        with pytest.raises(TokenUnavailable):
            ask()
    token.away = False
    assert sealing.open(sealing.seal(b"content", b""), b"") == b"content"
    assert len(indexing.names("pat", "P:wang")) == 1


def test_a_broken_batch_does_not_open(token):
    sealing = token.sealing()
    sealed = sealing.seal(b"content", b"")
    for broken in (
        sealed[:2] + bytes(16) + sealed[18:],
        sealed[:18] + bytes(16) + sealed[34:],
        sealed[:33],
        sealed[:17],
    ):
        with pytest.raises(SealBroken):
            sealing.open(broken, b"")


def test_names_of_an_identity_follow_from_one_value_that_is_asked_for_once(token):
    indexing = token.indexing()
    value = indexing.mac(transcript("identity", text("P:wang")))
    del token.asked[:]
    for label in ("idx", "pat", "idx"):
        assert indexing.names(label, "P:wang", asker="D:chen") == [(1, hmac.digest(value, transcript(label), "sha256"))]
    assert token.asked == [(1, transcript("identity", text("P:wang")))]
    assert indexing.names("pat", "P:lin") != indexing.names("pat", "P:wang")


def test_names_are_asked_for_again_after_a_minute(token):
    indexing = token.indexing()
    indexing.names("pat", "P:wang", asker="D:chen")
    token.seconds = TABLE["values of identities"].seconds
    indexing.names("pat", "P:wang", asker="D:chen")
    assert len(token.asked) == 2


def test_names_follow_a_rotation_at_once(token):
    indexing = token.indexing()
    ((_, old),) = indexing.names("pat", "P:wang", asker="D:chen")
    token.rotate()
    (second, new), (first, still) = indexing.names("pat", "P:wang", asker="D:chen")
    assert (second, first, still) == (2, 1, old)
    assert new != old
    token.revoke(1)
    assert indexing.names("pat", "P:wang", asker="D:chen") == [(2, new)]
