"""What clinical data can be refused for.

Every class carries `reason`. Messages name places and rules, never a value out of the record: they reach logs, audit
events and error details, which people read who may not read the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.clinical.text import counted

MAX_FAULTS = 20
"""How many faults a refusal carries; the rest are only counted."""


class ClinicalError(Exception):
    """Clinical data that can't be used; `reason` says why in one word."""

    reason = "CLINICAL_ERROR"


class NotJson(ClinicalError):
    """The bytes aren't the JSON that we accept: UTF-8, no name twice in an object, finite numbers, bounded depth."""

    reason = "FHIR_NOT_JSON"


class FhirTooLarge(ClinicalError):
    """The resource has more bytes, or more values, than a validator should be made to hold."""

    reason = "FHIR_TOO_LARGE"


class EcgInvalid(ClinicalError):
    """A DICOM file or an Observation from which no ECG can be read."""

    reason = "ECG_INVALID"


class WrongSubject(ClinicalError):
    """A resource that is about another patient than the one it was to be filed under."""

    reason = "WRONG_SUBJECT"


class WrongStatus(ClinicalError):
    """A report whose status says that it takes another's place where its signature does not, or the other way round."""

    reason = "WRONG_STATUS"

    def __init__(self, *, is_amended: bool) -> None:
        said = "takes another's place" if is_amended else "takes no other's place"
        super().__init__(f"DiagnosticReport.status must fit what was signed: that it {said}")


class ConsentNotExpressible(ClinicalError):
    """A FHIR Consent that says something that no grant says; nothing of it is taken."""

    reason = "CONSENT_NOT_EXPRESSIBLE"


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule of FHIR R4.

    `path` says where in the document (`Bundle.entry[16].resource.category`), `element` the same place as the
    specification calls it (`Condition.category`), `words` which rule. None of them repeats a value.
    """

    path: str
    element: str
    words: str

    def __str__(self) -> str:
        place = self.element if self.element == self.path else f"{self.element} (at {self.path})"
        return f"{place} {self.words}"


class FhirInvalid(ClinicalError):
    """Well-formed JSON that isn't the FHIR R4 resource asked for.

    `faults` holds the first MAX_FAULTS; `count` how many were found, a lower bound once the search was cut short. `other` is the
    FHIR version that it seems to be of instead, and what of that version is in it.
    """

    reason = "FHIR_INVALID"

    def __init__(self, faults: Sequence[Fault], count: int | None = None, other: tuple[str, str] | None = None) -> None:
        self.faults = tuple(faults[:MAX_FAULTS])
        self.count = len(faults) if count is None else count
        self.other = other
        super().__init__(f"{self.head}: {self._listed()}")

    @property
    def head(self) -> str:
        """What is wrong in a few words, without the faults."""
        perhaps = "" if self.other is None else f" but, it seems, {self.other[0]} ({self.other[1]} is of that version)"
        return f"not valid FHIR R4{perhaps}, {counted(self.count, 'fault')}"

    def _listed(self) -> str:
        rest = self.count - len(self.faults)
        return "; ".join(map(str, self.faults)) + (f"; and {rest} more" if rest else "")
