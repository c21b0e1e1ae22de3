"""DICOM waveforms written anew (synthetic sine samples), each with something that real recorders do."""

import math
import struct
from collections.abc import Sequence
from io import BytesIO

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

TWELVE = tuple((f"2:{number}", "") for number in (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8))
FORMATS = {"SS": "h", "US": "H", "SB": "b", "UB": "B", "SL": "i", "UL": "I", "MB": "b"}
ZERO = {"US": 32768, "UB": 128, "UL": 2**31}


def code(value: str, meaning: str, scheme: str = "MDC") -> Dataset:
    """A coded concept."""
    coded = Dataset()
    coded.CodeValue, coded.CodingSchemeDesignator, coded.CodeMeaning = value, scheme, meaning
    return coded


def channel(lead: tuple[str, str], unit: str = "uV", sensitivity: str = "2.5") -> Dataset:
    """A channel's definition."""
    defined = Dataset()
    defined.ChannelSourceSequence = [code(*lead)]
    defined.ChannelSensitivity, defined.ChannelSensitivityCorrectionFactor = sensitivity, "1"
    defined.ChannelSensitivityUnitsSequence = [code(unit, unit, "UCUM")]
    defined.ChannelBaseline = "0"
    return defined


def group(
    leads: Sequence[tuple[str, str]], seconds: float = 2.5, rate: int = 500, interpretation: str = "SS", **channels: str
) -> Dataset:
    """A multiplex group: a sine of one second, 400 steps high (100 of 8 bits), a twelfth of a turn later in each lead."""
    count, letter = round(seconds * rate), FORMATS[interpretation]
    made = Dataset()
    made.WaveformOriginality = "ORIGINAL"
    made.NumberOfWaveformChannels, made.NumberOfWaveformSamples = len(leads), count
    made.SamplingFrequency = str(rate)
    made.ChannelDefinitionSequence = [channel(lead, **channels) for lead in leads]
    made.WaveformBitsAllocated, made.WaveformSampleInterpretation = 8 * struct.calcsize(letter), interpretation
    height = 100 if letter in "bB" else 400
    turns = ((at / rate + index / 12) for at in range(count) for index in range(len(leads)))
    values = [ZERO.get(interpretation, 0) + int(height * math.sin(2 * math.pi * turn)) for turn in turns]
    packed = struct.pack(f"<{len(values)}{letter}", *values)
    made.WaveformData = packed + bytes(len(packed) % 2)
    made["WaveformData"].VR = "OB" if letter in "bB" else "OW"
    return made


def dataset(*groups: Dataset) -> FileDataset:
    """A file of these groups."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.9.1.1", generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("x", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID = "Probe^Paula", "1"
    made.AcquisitionDateTime = "20240301083000"
    made.WaveformSequence = list(groups)
    return made


def written(made: Dataset) -> bytes:
    """The file's bytes."""
    file = BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def recording(*groups: Dataset) -> bytes:
    """A file of these groups, as bytes."""
    return written(dataset(*groups))
