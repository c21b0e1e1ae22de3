"""A DICOM waveform (PS3.3, C.10.9), read down to its samples and the date of recording.

A DICOM file comes from outside and says who the patient is; both are reasons to take no more than what is named here.
"""

import logging
import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from federation.clinical.errors import EcgInvalid
from federation.clinical.leads import LEAD_NAMES, MOST_LEAD_NUMBER, STANDARD_LEADS, UNSPECIFIED
from federation.clinical.text import printable

# What pydicom logs and warns of quotes header values, the patient's name among them.
logging.getLogger("pydicom").disabled = True

MAX_BYTES = 16 * 1024 * 1024
"""Largest file read: an hour of twelve leads at 1 kHz is larger, a diagnostic ECG is 0.3 MB."""

MOST_SAMPLES = MAX_BYTES // 2
"""Most samples in all: each takes two bytes or more in the Observation, of which 16 MiB are accepted."""

LEAD_CODE = re.compile(r"(?:5\.6\.3-9-|2:)([0-9]{1,3})")
"""A lead in DICOM's context group 3001, as coded by SCPECG (older) or MDC (newer)."""

MICROVOLTS_PER_UNIT = {"nV": Decimal("0.001"), "uV": Decimal(1), "mV": Decimal(1000), "V": Decimal(1_000_000)}
"""UCUM's units of voltage, in which an ECG is recorded."""

SAMPLE_FORMATS = {(8, "SB"): "b", (8, "UB"): "B", (16, "SS"): "h", (16, "US"): "H", (32, "SL"): "i", (32, "UL"): "I"}
"""WaveformBitsAllocated and WaveformSampleInterpretation -> struct's letter. The others are companded sound (mu-law, A-law)."""

MOST_NAME = 40


@dataclass(frozen=True, slots=True)
class Channel:
    """One signal as recorded: its value in `unit` (UCUM) = raw sample * factor + origin. None is a sample marked as missing.

    `lead` is its number among the leads, None for what isn't measured in volts: a pressure, a breath. `name` is what the recorder
    calls it, for one of the twelve standard leads always what its code says. `offset_ms` is when it begins.
    """

    lead: int | None
    name: str
    unit: str
    factor: Decimal
    origin: Decimal
    period_ms: Decimal
    offset_ms: int
    samples: tuple[int | None, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recording:
    """The original signals of a DICOM ECG, of all its multiplex groups.

    `recorded_on` is FHIR's date (DICOM gives the time without a zone), or None.
    """

    channels: tuple[Channel, ...]
    recorded_on: str | None


def read_recording(data: bytes) -> Recording:
    """Every original waveform group of a DICOM file of at most 16 MiB. Raises EcgInvalid."""
    with _refusing():
        return _recording(_header(data))


def read_person(data: bytes) -> str | None:
    """Whom the file says that it was recorded of: name and number; None if it doesn't say. Raises EcgInvalid."""
    with _refusing():
        header = _header(data)
        parts = str(header.get("PatientName") or "").replace("^", " "), str(header.get("PatientID") or "")
    name, number = (printable(part, MOST_NAME) for part in parts)
    return f"{name or 'somebody without a name'}{f', number {number}' if number else ''}" if name or number else None


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn whatever pydicom makes of a malformed file into EcgInvalid."""
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except EcgInvalid:
            raise
        except Exception as error:  # noqa: BLE001 - pydicom lets errors of some twenty kinds out
            # `from None`: the original quotes header values.
            raise EcgInvalid(f"not a readable DICOM waveform ({type(error).__name__})") from None


def _header(data: bytes) -> Dataset:
    if len(data) > MAX_BYTES:
        raise EcgInvalid("more than 16 MiB, and at most that is read")
    try:
        header = pydicom.dcmread(BytesIO(data))
    except InvalidDicomError:
        raise EcgInvalid("not a DICOM file: the 128 bytes and the letters DICM at its beginning are missing") from None
    syntax = _needed(header.file_meta, "TransferSyntaxUID", "the file")
    # A deflated file could unpack to any size, and no recorder writes big-endian.
    if syntax not in {ExplicitVRLittleEndian, ImplicitVRLittleEndian}:
        raise EcgInvalid("the transfer syntax is not uncompressed little-endian")
    return header


def _recording(header: Dataset) -> Recording:
    groups = [
        (f"group {number}", group)
        for number, group in enumerate(_needed(header, "WaveformSequence", "the file"), start=1)
    ]
    original = [(where, group) for where, group in groups if _needed(group, "WaveformOriginality", where) == "ORIGINAL"]
    if not original:
        raise EcgInvalid("no original waveform, only derived ones")
    counts = [_shape(group, where) for where, group in original]
    if sum(channels * samples for channels, samples in counts) > MOST_SAMPLES:
        raise EcgInvalid(f"more than {MOST_SAMPLES:,} samples, and 16 MiB of FHIR hold fewer")
    channels = tuple(channel for where, group in original for channel in _channels(group, where))
    if all(channel.lead is None for channel in channels):
        raise EcgInvalid("no channel is measured in volts, so none is a lead")
    return Recording(channels, _recorded_on(header))


def _needed(dataset: Dataset, keyword: str, where: str) -> Any:  # noqa: ANN401 - of any type, as DICOM has it
    value = dataset.get(keyword)
    if value is None or value == "" or (keyword.endswith("Sequence") and not len(value)):
        raise EcgInvalid(f"{where} lacks {keyword} {Tag(tag_for_keyword(keyword) or 0)}")
    return value


def _shape(group: Dataset, where: str) -> tuple[int, int]:
    count = int(_needed(group, "NumberOfWaveformChannels", where))
    if count < 1 or len(_needed(group, "ChannelDefinitionSequence", where)) != count:
        raise EcgInvalid(f"{where}: the number of channels differs from the number of their definitions")
    return count, int(_needed(group, "NumberOfWaveformSamples", where))


def _channels(group: Dataset, where: str) -> Iterator[Channel]:
    rate = Decimal(str(_needed(group, "SamplingFrequency", where)))
    if not (rate.is_finite() and rate > 0):
        raise EcgInvalid(f"{where}: the sampling frequency is not positive")
    offset = Decimal(str(group.get("MultiplexGroupTimeOffset") or 0))
    if not (offset.is_finite() and 0 <= offset < 2**31):
        raise EcgInvalid(f"{where}: the time offset is no number of milliseconds")
    count, _ = _shape(group, where)
    samples, padding = _samples(group, where)
    times = 1000 / rate, round(offset)
    seen: Counter[str] = Counter()
    for index, definition in enumerate(group.ChannelDefinitionSequence):
        channel = _channel(definition, f"{where}, channel {index + 1}", samples[index::count], padding, times)
        seen[channel.name] += 1
        if seen[channel.name] == 1:
            yield channel
        elif channel.name in STANDARD_LEADS:
            raise EcgInvalid(f"{where}: one lead is recorded twice")
        else:
            yield replace(channel, name=f"{channel.name} {seen[channel.name]}")


def _samples(group: Dataset, where: str) -> tuple[tuple[int, ...], int | None]:
    """Return the interleaved samples, lead after lead for each instant (PS3.3, C.10.9.1.7), and which of them means none."""
    bits = int(_needed(group, "WaveformBitsAllocated", where))
    letter = SAMPLE_FORMATS.get((bits, str(_needed(group, "WaveformSampleInterpretation", where))))
    if letter is None:
        raise EcgInvalid(f"{where}: the samples are not integers of 8, 16 or 32 bits")
    channels, count = _shape(group, where)
    raw, size = bytes(_needed(group, "WaveformData", where)), channels * count * bits // 8
    # An odd number of bytes is padded to an even one (PS3.5, 7.1.1).
    if size < 1 or len(raw) != size + size % 2:
        raise EcgInvalid(f"{where}: the waveform's length differs from what its header says")
    padding = group.get("WaveformPaddingValue")
    missing = None if padding is None else struct.unpack(f"<{letter}", bytes(padding)[: bits // 8])[0]
    return struct.unpack(f"<{channels * count}{letter}", raw[:size]), missing


def _channel(
    definition: Dataset, where: str, samples: tuple[int, ...], padding: int | None, times: tuple[Decimal, int]
) -> Channel:
    source = _needed(definition, "ChannelSourceSequence", where)[0]
    lead, name = _lead(source, str(definition.get("ChannelLabel") or ""))
    sensitivity = Decimal(str(_needed(definition, "ChannelSensitivity", where)))
    gain = sensitivity * Decimal(str(_needed(definition, "ChannelSensitivityCorrectionFactor", where)))
    origin = Decimal(str(definition.get("ChannelBaseline") or 0))
    if not (gain.is_finite() and origin.is_finite() and gain):
        raise EcgInvalid(f"{where}: sensitivity or baseline is no usable number")
    unit = str(_needed(_needed(definition, "ChannelSensitivityUnitsSequence", where)[0], "CodeValue", where))
    scale = MICROVOLTS_PER_UNIT.get(unit)
    if scale is None and lead:
        raise EcgInvalid(f"{where}: lead {name} is not measured in volts")
    marked = tuple(None if sample == padding else sample for sample in samples)
    shown, factor = (printable(unit, MOST_NAME), Decimal(1)) if scale is None else ("uV", scale)
    number = None if scale is None else lead
    return Channel(number, name, shown, gain * factor, origin * factor, times[0], times[1], marked)


def _lead(source: Dataset, label: str) -> tuple[int, str]:
    """Return the number of a channel's lead, and its name: the recorder's, if it has one, but for the twelve standard leads."""
    match = LEAD_CODE.fullmatch(str(source.get("CodeValue") or ""))
    number = int(match[1]) if match and int(match[1]) <= MOST_LEAD_NUMBER else UNSPECIFIED
    coded = LEAD_NAMES.get(number)
    if coded in STANDARD_LEADS:
        return number, coded
    words = printable(str(source.get("CodeMeaning") or ""), MOST_NAME).removeprefix("Lead ")
    return number, words or printable(label, MOST_NAME) or coded or "unnamed"


def _recorded_on(header: Dataset) -> str | None:
    stamp = str(header.get("AcquisitionDateTime") or header.get("ContentDate") or "")
    if not re.fullmatch(r"[0-9]{8}", stamp[:8]):
        return None
    try:
        return date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])).isoformat()
    except ValueError:
        return None
