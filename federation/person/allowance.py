"""How much a doctor takes from hospitals: a manifest that says more ends its record before the bytes come."""

from dataclasses import dataclass

from federation.clinical.strictjson import BUNDLE
from federation.person.errors import RecordTooLarge
from federation.v1.record_pb2 import PART_KIND_FHIR_BUNDLE, RecordManifest

MOST_BUNDLE_BYTES = BUNDLE.size_bytes
"""Of a FHIR bundle, which is read as a whole (docs/protocol.md, H2)."""

MOST_FETCHED_BYTES = 4_000_000_000
"""Of all records of one visit, unless the doctor says otherwise."""


@dataclass
class Allowance:
    """What one visit may still take, of all hospitals together."""

    most_bytes: int = MOST_FETCHED_BYTES
    taken_bytes: int = 0

    def require_room(self, manifest: RecordManifest, size_bytes: int) -> None:
        """Require that a record of this manifest may come. Raises RecordTooLarge."""
        for part in (part for entry in manifest.records for part in entry.parts):
            if part.kind == PART_KIND_FHIR_BUNDLE and part.size_bytes > MOST_BUNDLE_BYTES:
                raise RecordTooLarge(f"a FHIR bundle of {part.size_bytes} bytes; {MOST_BUNDLE_BYTES} are the most")
        left = self.most_bytes - self.taken_bytes
        if size_bytes > left:
            raise RecordTooLarge(
                f"{size_bytes} bytes, and of the {self.most_bytes} that this visit takes {left} are left;"
                " --fetch-at-most raises that"
            )

    def take(self, size_bytes: int) -> None:
        """Count a record that came."""
        self.taken_bytes += size_bytes
