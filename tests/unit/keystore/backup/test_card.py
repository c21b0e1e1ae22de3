"""The card of a backup: it reads back, says nothing secret, and rejects whatever is not its own."""

import dataclasses
import json

import pytest

from hsm.errors import KeyNotFound
from keystore.backup import CLOUD, BackupCard, RecoverableKeys, derived, recovered_seed
from keystore.errors import BackupCardRejected
from tests.unit.keystore.backup.recoverable import make


def test_a_card_changed_in_any_field_is_rejected_before_a_login(made, fresh):
    entry = made.card.keys[0]
    changed = [
        {"threshold": 3},
        {"holders": ("O:ada", "O:ben", "O:eve")},
        {"tag": bytes(32)},
        {"keys": made.card.keys[1:]},
        {"keys": (dataclasses.replace(entry, check=bytes(32)), *made.card.keys[1:])},
        {"keys": (dataclasses.replace(entry, key=dataclasses.replace(entry.key, generation=2)), *made.card.keys[1:])},
    ]
    for change in changed:
        with pytest.raises(BackupCardRejected):
            RecoverableKeys.restore(fresh, made.shares[:2], dataclasses.replace(made.card, **change))
    assert fresh.opened == []


def test_a_card_of_another_splitting_is_rejected(made):
    seed = recovered_seed(made.shares[:2], made.card)
    made.card.require_seed(seed)
    with pytest.raises(BackupCardRejected):
        dataclasses.replace(made.card, splitting=made.card.splitting ^ 1).require_seed(seed)


def test_a_card_reads_back_as_it_was_written(made):
    assert BackupCard.from_json(made.card.to_json()) == made.card


def test_a_card_says_nothing_secret(made):
    text = made.card.to_json()
    seed = recovered_seed(made.shares[:2], made.card)
    assert seed.hex() not in text
    for entry in made.card.keys:
        with derived(seed, entry.key) as value:
            assert value.hex() not in text
    words = made.shares[0].words.split()
    assert not any(" ".join(words[at : at + 2]) in text for at in range(4, len(words) - 1))


def test_a_card_altered_on_paper_is_rejected(made):
    fields = json.loads(made.card.to_json())
    others = [
        fields | {"threshold": 3},
        fields | {"note": "more"},
        fields | {"digest": "00" * 32},
        fields | {"format": "medunion backup card 2"},
        fields | {"keys": [fields["keys"][0] | {"extra": 1}]},
        fields | {"keys": [fields["keys"][0] | {"kind": "RSA"}]},
        fields | {"keys": [fields["keys"][0] | {"generation": "1"}]},
        fields | {"keys": {}},
        fields | {"threshold": True},
        fields | {"tag": fields["tag"].upper()},
        {name: value for name, value in fields.items() if name != "tag"},
        [],
    ]
    for other in others:
        with pytest.raises(BackupCardRejected):
            BackupCard.from_json(json.dumps(other))
    with pytest.raises(BackupCardRejected):
        BackupCard.from_json("no json")


def test_another_tokens_keys_are_rejected_by_the_card(made, make_token):
    for label in ("issuer", "sealing", "index"):
        other = make_token("other")
        keys = [key for key in CLOUD if key.label == label]
        make(other, keys)
        card = dataclasses.replace(made.card, keys=tuple(e for e in made.card.keys if e.key.label == label))
        with pytest.raises(BackupCardRejected, match=label):
            card.verify(other)


def test_a_token_without_the_keys_does_not_pass_the_card(made, make_token):
    with pytest.raises(KeyNotFound):
        made.card.verify(make_token("empty"))
