"""Generations of a key: what each may do when, and that only the ways of ADR 18 lead from one state to the next."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystore.errors import (
    ActivationInPast,
    GenerationActive,
    GenerationPrepared,
    GenerationRevoked,
    GenerationsBroken,
    GenerationUnknown,
    PublicHalfDiffers,
    RotationAlreadyPrepared,
    RotationAlreadyScheduled,
    RotationNotPrepared,
    RotationRefused,
)
from keystore.generations import FirstGenerations, Generations, State, label_of, purpose_and_number

KEY = "sealing"
ROTATED = Generations().prepare(KEY, 100).activate(KEY, 200, 150)
"""Generation 2 was prepared at 100 and takes over at 200."""


@pytest.mark.parametrize(
    ("label", "of"), [("sealing", ("sealing", 1)), ("tls-ca.2", ("tls-ca", 2)), ("s.10", ("s", 10))]
)
def test_a_label_names_purpose_and_number(label, of):
    assert purpose_and_number(label) == of
    assert label_of(*of) == label


@pytest.mark.parametrize(
    "label",
    ["", ".2", "sealing.", "sealing.1", "sealing.0", "sealing.02", "sealing.+2", "sealing.2.3", "sealing.65536", "a.²"],
)
def test_what_label_of_never_writes_is_no_label(label):
    with pytest.raises(GenerationUnknown):
        purpose_and_number(label)


def test_a_purpose_that_never_rotated_has_its_first_generation_active():
    none = FirstGenerations().read()
    assert none.state(KEY, 1, 0) is State.ACTIVE
    assert [it.number for it in none.usable(KEY, 0)] == [1]
    assert none.retired_at(KEY, 1) is None
    assert none.prepared(KEY, 0) is None


def test_an_activation_retires_the_predecessor_at_the_same_moment():
    states = [[ROTATED.state(KEY, number, now).value for number in (1, 2)] for now in (199, 200)]
    assert states == [["active", "prepared"], ["retired", "active"]]
    assert [it.number for it in ROTATED.usable(KEY, 199)] == [1]
    assert [it.number for it in ROTATED.usable(KEY, 200)] == [2, 1]
    assert ROTATED.retired_at(KEY, 1) == 200


def test_whose_time_a_moment_was_is_told_even_of_the_revoked():
    them = ROTATED.revoke(KEY, 1, 300)
    assert [it.number for at in (199, 200, 301) if (it := them.active_at(KEY, at))] == [1, 2, 2]
    assert them.active_at(KEY, -1) is None


def test_purposes_rotate_apart():
    assert ROTATED.state("index", 1, 500) is State.ACTIVE


def test_a_second_successor_is_refused():
    for waiting in (Generations().prepare(KEY, 100), ROTATED):
        with pytest.raises(RotationAlreadyPrepared):
            waiting.prepare(KEY, 150)


def test_an_activation_without_successor_is_refused():
    with pytest.raises(RotationNotPrepared):
        Generations().activate(KEY, 200, 100)


def test_an_activation_of_what_is_active_is_refused():
    with pytest.raises(RotationNotPrepared):
        ROTATED.activate(KEY, 300, 200)


def test_a_second_time_of_activation_is_refused():
    with pytest.raises(RotationAlreadyScheduled):
        ROTATED.activate(KEY, 300, 160)


def test_an_activation_in_the_past_is_refused():
    with pytest.raises(ActivationInPast):
        Generations().prepare(KEY, 100).activate(KEY, 99, 100)


def test_an_activation_at_the_predecessors_own_moment_is_refused():
    with pytest.raises(ActivationInPast):
        ROTATED.prepare(KEY, 200).activate(KEY, 200, 200)


@pytest.mark.parametrize("ending", [Generations.taint, Generations.revoke])
def test_the_active_generation_cannot_be_tainted_or_revoked(ending):
    with pytest.raises(GenerationActive):
        ending(ROTATED, KEY, 1, 199)
    with pytest.raises(GenerationActive):
        ending(ROTATED, KEY, 2, 200)


def test_a_tainted_generation_still_opens_until_it_is_revoked():
    tainted = ROTATED.taint(KEY, 1, 250)
    assert tainted.state(KEY, 1, 251) is State.TAINTED
    assert [it.number for it in tainted.usable(KEY, 251)] == [2, 1]
    assert tainted.taint(KEY, 1, 260) == tainted
    revoked = tainted.revoke(KEY, 1, 300)
    assert revoked.state(KEY, 1, 300) is State.REVOKED
    assert [it.number for it in revoked.usable(KEY, 300)] == [2]


@pytest.mark.parametrize("ending", [Generations.taint, Generations.revoke])
def test_the_revoked_stay_revoked(ending):
    revoked = ROTATED.revoke(KEY, 1, 300)
    with pytest.raises(GenerationRevoked):
        ending(revoked, KEY, 1, 301)


def test_a_successor_that_waits_is_dropped_by_revoking_it():
    dropped = ROTATED.revoke(KEY, 2, 150)
    assert dropped.state(KEY, 2, 500) is State.REVOKED
    assert dropped.state(KEY, 1, 500) is State.ACTIVE
    assert dropped.retired_at(KEY, 1) is None
    again = dropped.prepare(KEY, 500).activate(KEY, 600, 500)
    assert [it.number for it in again.usable(KEY, 600)] == [3, 1]
    assert again.retired_at(KEY, 1) == 600


def test_a_successor_that_waits_cannot_be_tainted():
    with pytest.raises(GenerationPrepared):
        ROTATED.taint(KEY, 2, 150)


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_a_generation_that_is_not_there_is_unknown(number):
    for question in (ROTATED.state, ROTATED.taint, ROTATED.revoke):
        with pytest.raises(GenerationUnknown):
            question(KEY, number, 100)


def test_a_public_key_is_noted_once_and_a_certificate_may_be_made_anew():
    key, other = bytes(33), bytes([1]) * 33
    noted = Generations().record("identity", 1, key)
    assert noted.of("identity")[0].public == key
    assert noted.record("identity", 1, key) == noted
    with pytest.raises(PublicHalfDiffers):
        noted.record("identity", 1, other)
    certified = Generations().record("tls-ca", 1, b"certificate").record("tls-ca", 1, b"another certificate")
    assert certified.of("tls-ca")[0].public == b"another certificate"
    with pytest.raises(PublicHalfDiffers):
        certified.record("tls-ca", 1, key)


def _operations():
    return st.lists(
        st.tuples(st.sampled_from(["prepare", "activate", "taint", "revoke"]), st.integers(1, 4), st.integers(0, 5))
    )


def _life(operations):
    """Give (now, generations) after each operation that is not refused; the clock advances by what each names."""
    now, them = 10, Generations()
    for name, number, advance in operations:
        now += advance
        try:
            if name == "prepare":
                them = them.prepare(KEY, now)
            elif name == "activate":
                them = them.activate(KEY, now + number, now)
            else:
                them = getattr(them, name)(KEY, number, now)
        except RotationRefused:
            continue
        yield now, them


@given(_operations())
def test_exactly_one_generation_is_active_at_any_moment(operations):
    for now, them in _life(operations):
        for moment in range(now, now + 12):
            active = [it for it in them.of(KEY) if them.state(KEY, it.number, moment) is State.ACTIVE]
            assert active == [them.active(KEY, moment)] == [them.active_at(KEY, moment)]
            assert them.usable(KEY, moment)[0] == active[0]


@given(_operations())
def test_states_only_go_forward(operations):
    order, reached = list(State), {}
    for now, them in _life(operations):
        for moment in (now, now + 1, now + 2):
            for it in them.of(KEY):
                place = order.index(them.state(KEY, it.number, moment))
                if moment == now:
                    assert place >= reached.get(it.number, 0)
                    reached[it.number] = place
                assert place >= reached[it.number]


@given(_operations(), st.binary(max_size=40))
def test_what_is_written_is_read_again(operations, public):
    for _, them in _life(operations):
        noted = them.record(KEY, 1, public)
        assert Generations.from_json(noted.to_json()) == noted
        assert Generations.from_json(noted.to_json()).to_json() == noted.to_json()


def _altered(change):
    document = json.loads(ROTATED.to_json())
    change(document, *document["purposes"][KEY])
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda document, first, second: document.update(version=2),
        lambda document, first, second: document.update(more=1),
        lambda document, first, second: document.update(purposes=[]),
        lambda document, first, second: document["purposes"].update(sealing=[]),
        lambda document, first, second: document["purposes"].update(sealing=5),
        lambda document, first, second: document["purposes"][KEY].reverse(),
        lambda document, first, second: first.pop("public"),
        lambda document, first, second: first.update(more=1),
        lambda document, first, second: first.update(public="zz"),
        lambda document, first, second: first.update(public=None),
        lambda document, first, second: first.update(active_from=None),
        lambda document, first, second: first.update(prepared_at="0"),
        lambda document, first, second: first.update(prepared_at=-1),
        lambda document, first, second: second.update(number=3),
        lambda document, first, second: second.update(number=True),
        lambda document, first, second: second.update(active_from=0),
        lambda document, first, second: second.update(active_from=1.5),
        lambda document, first, second: second.update(revoked_at=300),
        lambda document, first, second: second.update(tainted_at=300),
        lambda document, first, second: second.update(active_from=None, tainted_at=300),
    ],
)
def test_generations_that_cannot_have_come_about_are_broken(change):
    with pytest.raises(GenerationsBroken):
        Generations.from_json(_altered(change))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"version":1}', b"[" * 100_000])
def test_what_is_no_document_is_broken(data):
    with pytest.raises(GenerationsBroken):
        Generations.from_json(data)
