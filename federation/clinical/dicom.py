"""A DICOM waveform (PS3.3, C.10.9), read down to its samples and the date of recording.

A DICOM file comes from outside and says who the patient is; both are reasons to take no more than what is named here.
"""

import re
import struct
from dataclasses import dataclass, field
from decimal import Decimal
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from federation.clinical.errors import EcgInvalid
from federation.clinical.leads import LEAD_NAMES

MAX_BYTES = 16 * 1024 * 1024
"""Largest file read: an hour of twelve leads at 1 kHz is larger, a diagnostic ECG is 0.3 MB."""

LEAD_CODE = re.compile(r"(?:5\.6\.3-9-|2:)(\d{1,3})")
"""A lead in DICOM's context group 3001, as coded by SCPECG (older) or MDC (newer)."""

MICROVOLTS_PER_UNIT = {"uV": Decimal(1), "mV": Decimal(1000)}


@dataclass(frozen=True, slots=True)
class Channel:
    """One lead as recorded: microvolts = raw sample * factor + origin. None is a sample marked as missing."""

    lead: str
    factor: Decimal
    origin: Decimal
    samples: tuple[int | None, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recording:
    """The rhythm strip of a DICOM ECG. `recorded_on` is FHIR's date (DICOM gives the time without a zone), or None."""

    channels: tuple[Channel, ...]
    samples_per_second: Decimal
    recorded_on: str | None


def read_recording(data: bytes) -> Recording:
    """The first original waveform group of a DICOM file of at most 16 MiB. Raises EcgInvalid."""
    if len(data) > MAX_BYTES:
        raise EcgInvalid(f"{len(data)} bytes; at most {MAX_BYTES} are accepted")
    try:
        return _recording(pydicom.dcmread(BytesIO(data)))
    except EcgInvalid:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom lets errors of some twenty kinds out of a malformed file
        # `from None`: the original quotes header values.
        raise EcgInvalid(f"not a readable DICOM waveform ({type(error).__name__})") from None


def _recording(header: Dataset) -> Recording:
    # A deflated file could unpack to any size, and no recorder writes big-endian.
    if header.file_meta.TransferSyntaxUID not in {ExplicitVRLittleEndian, ImplicitVRLittleEndian}:
        raise EcgInvalid("the transfer syntax is not uncompressed little-endian")
    group = next((item for item in header.WaveformSequence if item.WaveformOriginality == "ORIGINAL"), None)
    if group is None:
        raise EcgInvalid("no original waveform, only derived ones")
    rate = Decimal(str(group.SamplingFrequency))
    if not (rate.is_finite() and rate > 0):
        raise EcgInvalid("the sampling frequency is not positive")
    return Recording(_channels(group), rate, _recorded_on(header))


def _channels(group: Dataset) -> tuple[Channel, ...]:
    count, definitions = int(group.NumberOfWaveformChannels), group.ChannelDefinitionSequence
    if count < 1 or len(definitions) != count:
        raise EcgInvalid("the number of channels differs from the number of their definitions")
    samples = _samples(group, count * int(group.NumberOfWaveformSamples))
    channels = tuple(
        _channel(definition, samples[index::count], _padding(group)) for index, definition in enumerate(definitions)
    )
    if len({channel.lead for channel in channels}) != count:
        raise EcgInvalid("one lead is recorded twice")
    return channels


def _samples(group: Dataset, count: int) -> tuple[int, ...]:
    """The interleaved samples, lead after lead for each instant (PS3.3, C.10.9.1.7)."""
    if (group.WaveformBitsAllocated, group.WaveformSampleInterpretation) != (16, "SS"):
        raise EcgInvalid("the samples are not 16-bit signed integers")
    raw = bytes(group.WaveformData)
    if count < 1 or len(raw) != 2 * count:
        raise EcgInvalid("the waveform's length differs from what its header says")
    return struct.unpack(f"<{count}h", raw)


def _padding(group: Dataset) -> int | None:
    value = group.get("WaveformPaddingValue")
    return None if value is None else int.from_bytes(value[:2], "little", signed=True)


def _channel(definition: Dataset, samples: tuple[int, ...], padding: int | None) -> Channel:
    unit = MICROVOLTS_PER_UNIT.get(str(definition.ChannelSensitivityUnitsSequence[0].CodeValue))
    if unit is None:
        raise EcgInvalid("a channel is not measured in uV or mV")
    gain = Decimal(str(definition.ChannelSensitivity)) * Decimal(str(definition.ChannelSensitivityCorrectionFactor))
    origin = Decimal(str(definition.get("ChannelBaseline", 0)))
    if not (gain.is_finite() and origin.is_finite() and gain):
        raise EcgInvalid("a channel's sensitivity or baseline is no usable number")
    marked = tuple(None if sample == padding else sample for sample in samples)
    return Channel(_lead(definition), gain * unit, origin * unit, marked)


def _lead(definition: Dataset) -> str:
    match = LEAD_CODE.fullmatch(str(definition.ChannelSourceSequence[0].CodeValue))
    lead = LEAD_NAMES.get(int(match[1])) if match else None
    if lead is None:
        raise EcgInvalid("a channel is none of the twelve standard leads")
    return lead


def _recorded_on(header: Dataset) -> str | None:
    stamp = str(header.get("AcquisitionDateTime") or header.get("ContentDate") or "")
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" if re.fullmatch(r"\d{8}", stamp[:8]) else None
