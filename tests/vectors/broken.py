"""Records whose session broke: what came of each, and behind how much of it another session goes on."""

from itertools import pairwise

from federation.protocol.frames import IncomingRecord
from federation.v1.record_pb2 import PART_KIND_ATTACHMENT, RecordEntry, RecordManifest, RecordPart
from tests.vectors.draws import Json
from tests.vectors.single_calls import DEPARTMENT_CLASS, HANDLE
from tests.vectors.spec import field, padded_size, sha256
from tests.vectors.world import World

SLICE = 512 * 1024
FILL = b"\xa5"
SCAN_BYTES = SLICE + 3_000
"""Of the part whose record goes on in the run: what is left of it is short."""
FIRST = (64 * 1024, 64 * 1024, 128 * 1024, 256 * 1024)
"""The slices of a record that its reader takes quickly, up to the first multiple of 512 KiB."""


def scan_manifest(world: World, size_bytes: int = SCAN_BYTES) -> bytes:
    """The manifest of one record, whose one part is so many bytes of FILL."""
    part = RecordPart(
        kind=PART_KIND_ATTACHMENT,
        name="scan.bin",
        media_type="application/octet-stream",
        size_bytes=size_bytes,
        digest=sha256(FILL * size_bytes),
    )
    department = f"{world.hospital.identity}/{DEPARTMENT_CLASS}"
    entry = RecordEntry(handle=HANDLE, version=1, department_id=department, stored_at=world.now, parts=[part])
    manifest = RecordManifest(patient_id=world.patient.identity, hospital_id=world.hospital.identity, records=[entry])
    return manifest.SerializeToString(deterministic=True)


def scan_content(world: World) -> bytes:
    """M_EMR of the record that goes on."""
    return field(scan_manifest(world)) + FILL * SCAN_BYTES


def came(content: bytes, slices: tuple[int, ...]) -> IncomingRecord:
    """Take slices of these sizes of M_EMR || zeros."""
    padded = content.ljust(padded_size(len(content)), b"\x00")
    state = IncomingRecord()
    for begin, end in pairwise((0, *(sum(slices[: n + 1]) for n in range(len(slices))))):
        state, _ = state.take(padded[begin:end])
    return state


def vectors(world: World) -> list[Json]:
    """Give what came, in slices of these sizes, and the offset: behind how much of it another session goes on; 0 for nowhere."""
    head = len(field(scan_manifest(world)))
    whole = padded_size(head + SCAN_BYTES)
    even = SLICE - len(field(scan_manifest(world, SLICE)))  # M_EMR is one slice
    cases: dict[str, tuple[int, tuple[int, ...], int]] = {
        "goes on": (SCAN_BYTES, FIRST, SLICE),
        "broke before anything came": (SCAN_BYTES, (), 0),
        "broke within its manifest": (SCAN_BYTES, (head - 1,), 0),
        "broke behind its manifest": (SCAN_BYTES, (head,), 0),
        "broke a byte too soon": (SCAN_BYTES, (SLICE - 1,), 0),
        "broke a byte later": (SCAN_BYTES, (SLICE, 1), SLICE),
        "broke before its last frame": (SCAN_BYTES, (SLICE, whole - SLICE), SLICE),
        "is one slice, and came": (even, (SLICE,), 0),
        "is a byte more than a slice, and came": (even + 1, (SLICE, padded_size(SLICE + 1) - SLICE), SLICE),
        "broke behind the third slice": (4 * SLICE, (*FIRST, SLICE, SLICE, 16 * 1024), 3 * SLICE),
        "was cut elsewhere": (4 * SLICE, (700_000, 700_000), 2 * SLICE),
    }
    return [_vector(name, scan_manifest(world, size), size, *rest) for name, (size, *rest) in cases.items()]


def _vector(name: str, manifest: bytes, size_bytes: int, slices: tuple[int, ...], offset: int) -> Json:
    return {
        "name": f"a record that {name}",
        "manifest": manifest.hex(),
        "fill": FILL.hex(),
        "size_bytes": size_bytes,
        "came": list(slices),
        "offset": offset,
        "manifest_digest": sha256(manifest).hex() if offset else "",
    }


def outcome(vector: Json) -> int:
    """Give the offset that the code says."""
    manifest = bytes.fromhex(vector["manifest"])
    content = field(manifest) + bytes.fromhex(vector["fill"]) * vector["size_bytes"]
    return came(content, tuple(vector["came"])).resumable
