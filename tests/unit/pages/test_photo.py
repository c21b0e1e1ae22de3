"""A doctor's code out of a photo: whichever way it is held, and nothing that is no photo of one code."""

import io
import os

import pytest
import segno
from PIL import Image

from federation.pages.app.photo import MOST_PIXELS, PhotoUnusable, PhotoWithoutCode, code_in
from federation.person.code import DoctorCode
from federation.person.errors import CodeInvalid
from keystore.identities import HospitalId


def a_code() -> DoctorCode:
    return DoctorCode("relay.example:7101", HospitalId("H:alpha"), os.urandom(16), os.urandom(32))


def drawn(text: str) -> Image.Image:
    file = io.BytesIO()
    segno.make(text, error="l", micro=False).save(file, kind="png", scale=5, border=4)
    return Image.open(file).convert("RGB")


def photo(image: Image.Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("degrees", [0, 7, 90, 173])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_code_is_read_however_the_photo_is_held(degrees: int, kind: str) -> None:
    code = a_code()
    table = Image.new("RGB", (1600, 1200), "grey")
    table.paste(drawn(str(code)).rotate(degrees, expand=True, fillcolor="white"), (300, 200))
    assert code_in(photo(table, kind)) == code


def test_large_photo_is_read_smaller() -> None:
    code = a_code()
    table = Image.new("L", (8000, 6000), 200)
    table.paste(drawn(str(code)).convert("L").resize((2400, 2400)), (1000, 1000))
    assert code_in(photo(table)) == code


def test_code_is_found_beside_another_qr_code() -> None:
    code = a_code()
    table = Image.new("RGB", (2000, 1000), "white")
    table.paste(drawn("https://example.org/wifi"), (100, 100))
    table.paste(drawn(str(code)), (1000, 100))
    assert code_in(photo(table)) == code


def test_photo_of_two_doctors_codes_is_refused_rather_than_guessed_at() -> None:
    table = Image.new("RGB", (2000, 1000), "white")
    table.paste(drawn(str(a_code())), (100, 100))
    table.paste(drawn(str(a_code())), (1000, 100))
    with pytest.raises(PhotoWithoutCode, match="several"):
        code_in(photo(table))


def test_photo_without_a_code_and_with_a_strangers_are_told_apart() -> None:
    with pytest.raises(PhotoWithoutCode):
        code_in(photo(Image.new("RGB", (400, 400), "white")))
    with pytest.raises(CodeInvalid):
        code_in(photo(drawn("https://example.org")))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_not_read(kind: str) -> None:
    with pytest.raises(PhotoUnusable):
        code_in(photo(drawn(str(a_code())), kind))


def test_photo_that_would_unfold_to_more_pixels_than_are_held_is_refused_before_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bomb = photo(Image.new("1", (8200, MOST_PIXELS // 8000)), "PNG")
    assert len(bomb) < 100_000
    monkeypatch.setattr(Image.Image, "thumbnail", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(PhotoUnusable, match="pixels"):
        code_in(bomb)


@pytest.mark.parametrize("part", [0, 0.01, 0.1, 0.5, 0.9])
def test_photo_that_broke_off_is_refused(part: float) -> None:
    whole = photo(drawn(str(a_code())), "PNG")
    with pytest.raises(PhotoUnusable):
        code_in(whole[: round(part * len(whole))])
