"""What every phase computes and sends is what the data file and docs/paper-tables.md say: a change of it is said there.

`python -m benchmarks.paper --write` counts anew.
"""

from collections import Counter

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from benchmarks.paper import tables
from benchmarks.paper.__main__ import counted
from benchmarks.paper.counting import OPERATIONS, UNKNOWN, Counting
from benchmarks.paper.visit import Visit
from keystore.curve import CURVE, public_point
from keystore.encryption import DecryptionKey, seal
from keystore.signatures import SigningKey
from tests.keys import new_key
from tests.simulator import Federation


@pytest.fixture
def opened(make_token):
    """The tokens of a federation that is being made, and their maker."""
    tokens = []

    def make(prefix):
        tokens.append(make_token(prefix))
        return tokens[-1]

    return tokens, make


def test_every_phase_computes_and_sends_what_is_written_down(opened, federation):
    tokens, make = opened
    steps = counted(Visit.prepared(Federation(make, federation.entropy)), tokens)
    unknown = {name for of in steps.values() for step in of for name in step.operations if name not in OPERATIONS}
    assert not unknown, f"Say in benchmarks/paper/counting.py what these are: {unknown}"
    written, kept = tables.written(steps).splitlines(), tables.COUNTED.read_text().splitlines()
    assert written == kept, "Counts have changed: python -m benchmarks.paper --write, and read the difference."


def test_page_has_the_tables_of_the_data():
    page = tables.PAGE.read_text()
    assert page == tables.with_parts(page, tables.parts(tables.read()))


def count(of, *tokens):
    counting = Counting(tokens)
    with counting.step("phase", "party", "step") as sends:
        of(sends)
    return counting.steps[0]


def test_a_seal_and_its_opening_are_an_asymmetric_operation_each():
    key = DecryptionKey(MLKEM768PrivateKey.generate(), new_key())
    sealed = seal(key.encryption_key, b"message", b"info")
    sealing = count(lambda _: seal(key.encryption_key, b"message", b"info")).operations
    opening = count(lambda _: key.open(sealed, b"info")).operations
    assert sealing == {"multiply": 2, "encapsulate": 1, "hash": 1, "hmac": 5, "aead": 1}
    assert opening == {"multiply": 1, "decapsulate": 1, "hash": 1, "hmac": 5, "aead": 1}
    for counted_one in (sealing, opening):
        assert +tables.in_symbols(counted_one) == {"T_A": 1}


def test_a_signature_in_a_token_is_seen_with_its_own_verification(token):
    key = SigningKey(token.generate_signing("signing"))
    key.sign(b"once")
    operations = count(lambda _: key.sign(b"message"), token).operations
    assert (operations["sign"], operations["recheck"], operations["verify"]) == (1, 1, 0)


def test_a_multiplication_of_a_public_point_is_seen(federation):
    party = federation.party(federation.patient).self_
    wanted = party.registration_point, party.issuer_public_key, party.credential
    counting = Counting((), forgetting=True)
    for _ in range(2):
        with counting.step("phase", "party", "step"):
            public_point(*wanted)
            public_point(*wanted)
    assert [step.operations["multiply"] for step in counting.steps] == [2, 2]


def test_a_primitive_that_nobody_counts_is_unknown():
    assert any(name.startswith(UNKNOWN) for name in count(lambda _: X25519PrivateKey.generate()).operations)


def test_nothing_is_counted_after_a_step_that_raises():
    counting = Counting(())
    with pytest.raises(ZeroDivisionError), counting.step("phase", "party", "step"):
        raise ZeroDivisionError
    ec.generate_private_key(CURVE)
    assert not counting.steps


def test_messages_are_weighed_as_they_are_serialised(federation):
    list_ = federation.cloud.revocation_head()
    assert count(lambda sends: (sends(list_), sends(list_))).sends == 2 * len(list_.SerializeToString())


SLIPS = {
    ("chiou", "T_S"): (10, 0),
    ("chiou", "T_H"): (33, 0),
    ("li", "T_H"): (39, 36),
}
"""Totals of Table 4 that are not the sums of their phases: what the phases give, and what is printed."""
BIT_SLIPS = {"chiou": (6538, 6528), "mohit": (5302, 5312), "kumar": (3012, 2912)}
"""Those of Table 5."""


def test_the_papers_tables_are_read_as_printed_slips_and_all():
    printed = {key: scheme for key, scheme in tables.schemes().items() if scheme.bits}
    assert len(printed) == 5
    slips, bit_slips = {}, {}
    for key, scheme in printed.items():
        operations = sum((scheme.operations[phase] for phase in tables.PAPERS_PHASES), Counter())
        bits = sum(scheme.bits[phase] for phase in tables.PAPERS_PHASES)
        for symbol in tables.SYMBOLS:
            if operations[symbol] != scheme.operations["total"][symbol]:
                slips[key, symbol] = operations[symbol], scheme.operations["total"][symbol]
        if bits != scheme.bits["total"]:
            bit_slips[key] = bits, scheme.bits["total"]
    assert slips == SLIPS
    assert bit_slips == BIT_SLIPS
