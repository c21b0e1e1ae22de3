"""What holds for every (simulated) template."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from keystore.biometric import simulate_reading
from keystore.fuzzy import BiometricMismatch, HelperData, enrol, recover

templates = st.binary(min_size=256, max_size=256)
randomness = st.binary(min_size=20, max_size=20)


@given(templates, randomness, st.floats(0, 0.20), st.integers(0, 2**32))
def test_a_reading_with_at_most_a_fifth_of_its_bits_flipped_recovers_the_key(template, fresh, noise, seed):
    key, helper = enrol(template, fresh)
    assert recover(simulate_reading(template, noise, Random(seed)), helper) == key


@given(templates, randomness, st.integers(0, 2**32))
def test_biometric_mismatch_for_an_unrelated_template(template, fresh, seed):
    _, helper = enrol(template, fresh)
    try:
        recover(Random(seed).randbytes(256), helper)
    except BiometricMismatch:
        return
    raise AssertionError("a stranger's reading recovered a key")


@given(templates, randomness, st.integers(8, 289 * 8 - 1))
def test_biometric_mismatch_for_any_flipped_bit_of_the_helper_data(template, fresh, place):
    _, helper = enrol(template, fresh)
    altered = bytearray(helper.to_bytes())
    altered[place // 8] ^= 1 << place % 8
    try:
        recover(template, HelperData.from_bytes(bytes(altered)))
    except BiometricMismatch:
        return
    raise AssertionError("altered helper data went unnoticed")


@given(templates, randomness)
def test_helper_data_parsed_after_encoding_is_the_same(template, fresh):
    _, helper = enrol(template, fresh)
    assert HelperData.from_bytes(helper.to_bytes()) == helper


@given(st.integers(0, 2048), templates, st.integers(0, 2**32))
def test_a_simulated_reading_differs_in_exactly_the_bits_asked_for(flips, template, seed):
    reading = simulate_reading(template, flips / 2048, Random(seed))
    differing = int.from_bytes(reading, "big") ^ int.from_bytes(template, "big")
    assert differing.bit_count() == flips
