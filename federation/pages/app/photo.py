"""The doctor's code out of a photo (ISO/IEC 18004). The photo stays in memory, and is gone with the answer.

A photo is a stranger's file: what it says of its size is looked at before a pixel is decoded, and three formats are read.
"""

import io
from typing import Final

import zxingcpp
from PIL import Image

from federation.errors import MalformedMessage
from federation.person.code import DoctorCode
from federation.person.errors import CodeInvalid

FORMATS: Final = ("JPEG", "PNG", "WEBP")

MOST_PIXELS: Final = 64_000_000
"""More than cameras of phones take; each may take 4 bytes while it is decoded."""

_QR: Final = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
_READ_PIXELS: Final = 2000
"""Along each side: a code that fills a tenth of the photo is then still sharp."""


class PhotoUnusable(MalformedMessage):
    """The file is no photo that is read here: another format, too many pixels, or damaged."""

    reason = "PHOTO_UNUSABLE"
    in_words = "This photo cannot be read."
    to_do = "Choose a photo as JPEG, PNG or WebP, or type the code."


class PhotoWithoutCode(MalformedMessage):
    """The photo shows no doctor's code, or several."""

    reason = "PHOTO_WITHOUT_CODE"
    in_words = "No doctor's code was found in this photo."
    to_do = "Hold the camera straight and near, so that the whole code is sharp; or type the code."


def code_in(photo: bytes) -> DoctorCode:
    """Return the one doctor's code that a photo shows.

    Raises PhotoUnusable, PhotoWithoutCode for no QR code or several doctors' codes, CodeInvalid where the QR code is another's.
    """
    texts = {found.text for found in zxingcpp.read_barcodes(_grey(photo), formats=_QR)}
    if not texts:
        raise PhotoWithoutCode("no QR code in it")
    codes, fault = set(), CodeInvalid("The QR code in the photo is no doctor's code.")
    for text in texts:
        try:
            codes.add(DoctorCode.parse(text))
        except CodeInvalid as error:
            fault = error
    if len(codes) > 1:
        raise PhotoWithoutCode("it shows several doctors' codes")
    if not codes:
        raise fault
    return codes.pop()


def _grey(photo: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(photo), formats=FORMATS) as image:
            return _read(image)
    except PhotoUnusable:
        raise
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        raise PhotoUnusable("it is no JPEG, PNG or WebP that can be read") from error


def _read(image: Image.Image) -> Image.Image:
    if image.width * image.height > MOST_PIXELS:
        raise PhotoUnusable(f"it has more than {MOST_PIXELS // 1_000_000} million pixels")
    image.draft("L", (_READ_PIXELS, _READ_PIXELS))  # a JPEG is decoded no larger than it is read
    image.thumbnail((_READ_PIXELS, _READ_PIXELS))
    return image.convert("L")
