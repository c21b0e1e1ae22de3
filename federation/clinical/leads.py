"""The leads of an ECG: their names, their codes in DICOM and in FHIR, their samples."""

from dataclasses import dataclass, field
from datetime import timedelta

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

LEAD_NUMBERS = dict(zip(STANDARD_LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))
"""A lead's number in SCP-ECG (EN 1064), in ISO/IEEE 11073-10101 and so in DICOM's context group 3001."""

_OTHERS = {
    **dict(
        enumerate(("V7", "V2R", "V3R", "V4R", "V5R", "V6R", "V7R", "X", "Y", "Z", "CC5", "CM5", "LA", "RA", "LL"), 9)
    ),
    **dict(enumerate(("Frank I", "Frank E", "Frank C", "Frank A", "Frank M", "Frank F", "Frank H"), 24)),
    **dict(enumerate((f"derived {name}" for name in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")), 31)),
    **dict(enumerate(("-aVR", "V8", "V9", "V8R", "V9R", "Nehb D", "Nehb A", "Nehb J"), 65)),
    **dict(enumerate(("MCL", "MCL1", "MCL2", "MCL3", "MCL4", "MCL5", "MCL6", "CC", "CC1", "CC2", "CC3", "CC4"), 91)),
    **dict(enumerate(("CC6", "CC7", "CM", "CM1", "CM2", "CM3", "CM4", "CM6"), 103)),
    **dict(enumerate((f"derived {name}" for name in ("III", "aVR", "aVL", "aVF")), 111)),
    **dict(
        enumerate(("CM7", "CH5", "CS5", "CB5", "CR5", "ML", "AB1", "AB2", "AB3", "AB4", "ES", "AS", "AI", "S"), 121)
    ),
    147: "RL",
}

LEAD_NAMES = {number: name for name, number in LEAD_NUMBERS.items()} | _OTHERS
"""The names of those numbers that have a short one."""

UNSPECIFIED = 0
"""The number of a lead that is not said, and of one that has no number."""

MOST_LEAD_NUMBER = 255

MDC_SYSTEM = "urn:iso:std:iso:11073:10101"

MDC_ECG_ELEC_POTL = 131328
"""MDC's code of "electrical potential, ECG"; a lead's own code is this plus its number (I is 131329)."""


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead, samples in microvolts at equal intervals; NaN where the recorder marked a sample as missing.

    `name` is the code's for the twelve standard leads, and else what the recorder calls it; `coded` is what its code says
    where that is something else. `offset` is when it begins, from the beginning of the recording.
    """

    name: str
    sample_interval: timedelta
    microvolts: tuple[float, ...] = field(repr=False)
    offset: timedelta = timedelta(0)
    coded: str | None = None

    @property
    def duration(self) -> timedelta:
        """How long it was recorded."""
        return self.sample_interval * len(self.microvolts)

    @property
    def end(self) -> timedelta:
        """When it ends, from the beginning of the recording."""
        return self.offset + self.duration

    def __str__(self) -> str:
        return self.name if self.coded is None else f"{self.name} (coded as {self.coded})"


def mdc_code(number: int) -> int:
    """Return the MDC code of a lead's potential."""
    return MDC_ECG_ELEC_POTL + number


def mdc_label(number: int) -> str:
    """MDC's reference identifier of a lead's potential, such as MDC_ECG_ELEC_POTL_AVR."""
    name = LEAD_NAMES.get(number, "")
    return f"MDC_ECG_ELEC_POTL_{name.upper()}" if name.isalnum() else "MDC_ECG_ELEC_POTL"
