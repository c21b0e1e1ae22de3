"""Coded diagnoses as a doctor types them."""

import pytest

from federation.clinical.report import Coding
from federation.person.conclusion import ICD_10, CodeUnreadable, coding, codings

FIBRILLATION = Coding(ICD_10, "I48.0", "Paroxysmal atrial fibrillation")


@pytest.mark.parametrize("typed", ["I48.0=Paroxysmal atrial fibrillation", " I48.0  Paroxysmal atrial fibrillation "])
def test_a_code_and_its_words_are_read(typed: str) -> None:
    assert coding(typed) == FIBRILLATION


@pytest.mark.parametrize("typed", ["", "I48.0", "I48.0=", "=words", "   "])
def test_a_code_without_words_is_none(typed: str) -> None:
    with pytest.raises(CodeUnreadable):
        coding(typed)


def test_codes_stand_one_a_line_and_the_line_is_named() -> None:
    assert codings("\nI48.0 Paroxysmal atrial fibrillation\n\n") == [FIBRILLATION]
    with pytest.raises(CodeUnreadable, match="line 2 of the codes"):
        codings("I10=Hypertension\nI48.0\n")
