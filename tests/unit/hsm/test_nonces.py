"""The arithmetic that judges nonces: it finds back each nonce, and every bias that single bits show."""

import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hsm.nonces import MOST_DEVIATIONS, ORDER, NonceReport, judge, nonce

SCALAR = 0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433
COUNT = 512


def signed(k: int, z: int) -> tuple[int, int]:
    """Sign by the book (FIPS 186-5, section 6.4.1), with a nonce of the test's."""
    r = ec.derive_private_key(k, ec.SECP256R1()).public_key().public_numbers().x % ORDER
    return r, pow(k, -1, ORDER) * (z + r * SCALAR) % ORDER


def report_of(draw: Callable[[random.Random], int], *, low_s: bool = False) -> NonceReport:
    """Judge signatures whose nonces are drawn so; with `low_s` by a signer that gives the smaller s of two."""
    numbers = random.Random(13)
    found = []
    for z in range(1, COUNT + 1):
        r, s = signed(draw(numbers), z)
        s = min(s, ORDER - s) if low_s else s
        found.append((r, nonce(r, s, z, SCALAR)))
    return judge(found)


def uniform(numbers: random.Random) -> int:
    return numbers.randrange(1, ORDER)


@pytest.mark.parametrize("k", [1, 2, ORDER - 1, 1 << 255, 0x0123456789ABCDEF << 128])
def test_nonce_is_found_back(k: int) -> None:
    r, s = signed(k, 4711)
    assert nonce(r, s, 4711, SCALAR) == k
    assert nonce(r, ORDER - s, 4711, SCALAR) == ORDER - k


@pytest.mark.parametrize("low_s", [False, True])
def test_uniform_nonces_are_fair(low_s: bool) -> None:
    report = report_of(uniform, low_s=low_s)
    assert report.fair, report
    assert report.signatures == report.distinct == COUNT


SHORT = {bits: lambda numbers, bits=bits: 1 + numbers.randrange(ORDER - 1 >> bits) for bits in (1, 2, 8, 32)}


@pytest.mark.parametrize("low_s", [False, True])
@pytest.mark.parametrize("bits", SHORT)
def test_short_nonces_are_found(bits: int, low_s: bool) -> None:
    if (bits, low_s) == (1, True):  # n - k of such a k has its top bit set: all that is left is a fair coin
        assert report_of(SHORT[bits], low_s=low_s).fair
        return
    report = report_of(SHORT[bits], low_s=low_s)
    assert not report.fair
    assert report.worst_bit >= 256 - bits - low_s
    assert abs(report.worst_z) > MOST_DEVIATIONS


@pytest.mark.parametrize("bit", [0, 1, 100, 255])
def test_bit_that_is_never_set_is_found_and_named(bit: int) -> None:
    report = report_of(lambda numbers: uniform(numbers) & ~(1 << bit))
    assert not report.fair
    assert report.worst_bit == bit
    assert report.worst_z < -MOST_DEVIATIONS


def test_bit_that_leans_is_found_and_named() -> None:
    def leaning(numbers: random.Random) -> int:
        k = uniform(numbers)
        return k | 1 << 40 if numbers.random() < 0.5 else k

    report = report_of(leaning)
    assert not report.fair
    assert report.worst_bit == 40


def test_nonce_that_comes_twice_is_found() -> None:
    again = iter([5, 5])
    report = report_of(lambda numbers: next(again, None) or uniform(numbers))
    assert report.distinct == COUNT - 1
    assert abs(report.worst_z) <= MOST_DEVIATIONS
    assert not report.fair
