"""The doctor's code as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.person.code import DoctorCode
from federation.person.errors import CodeInvalid

CODE = DoctorCode("relay.example:7443", "H:beta", bytes(range(16)), bytes(range(32)))
TEXT = "medunion://relay.example:7443/beta/AAECAwQFBgcICQoLDA0ODw/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8/eXy9"


def test_code_is_written_as_documented() -> None:
    assert str(CODE) == TEXT


def test_code_read_back_is_the_same() -> None:
    assert DoctorCode.parse(f"  {TEXT}\n") == CODE


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_code_written_and_read_is_the_identity(room_id: bytes, digest: bytes) -> None:
    code = DoctorCode("[::1]:443", "H:a-1", room_id, digest)
    assert DoctorCode.parse(str(code)) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("medunion", "https"),
        TEXT[:-1],
        TEXT + "A",
        # The digest's last letter has two bits that belong to nothing: another spelling of the same bytes, rightly checked.
        TEXT.replace("Hh8/eXy9", "Hh9/LEOq"),
        TEXT.replace("relay", "realy"),
        TEXT.replace("beta", "BETA"),
        TEXT.replace(":7443", ""),
        TEXT.replace("/beta", ""),
        TEXT.replace("beta", "beta/x"),
    ],
)
def test_code_invalid_is_refused(text: str) -> None:
    with pytest.raises(CodeInvalid):
        DoctorCode.parse(text)


def test_code_shows_no_room_in_its_repr() -> None:
    assert "room" not in repr(CODE)
