"""The leads of an ECG: their names, their codes in DICOM and in FHIR, their samples."""

from dataclasses import dataclass, field
from datetime import timedelta

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

LEAD_NUMBERS = dict(zip(STANDARD_LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))
"""A lead's number in SCP-ECG (EN 1064) and in ISO/IEEE 11073-10101."""

LEAD_NAMES = {number: name for name, number in LEAD_NUMBERS.items()}

MDC_SYSTEM = "urn:iso:std:iso:11073:10101"

MDC_ECG_ELEC_POTL = 131328
"""MDC's code of "electrical potential, ECG"; a lead's own code is this plus its number (I is 131329)."""


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead, samples in microvolts at equal intervals; NaN where the recorder marked a sample as missing."""

    name: str
    sample_interval: timedelta
    microvolts: tuple[float, ...] = field(repr=False)

    @property
    def duration(self) -> timedelta:
        """How long the recording is."""
        return self.sample_interval * len(self.microvolts)


def mdc_code(name: str) -> int:
    """The MDC code of a lead's potential."""
    return MDC_ECG_ELEC_POTL + LEAD_NUMBERS[name]


def mdc_label(name: str) -> str:
    """MDC's reference identifier of a lead's potential, such as MDC_ECG_ELEC_POTL_AVR."""
    return f"MDC_ECG_ELEC_POTL_{name.upper()}"
