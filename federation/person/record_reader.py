"""M_EMR = F(manifest) || the bytes of every part of every record, in the manifest's order: read, and checked by it.

The hospital's signature covers M_EMR as a whole; the sizes and digests here say that it is what it claims to hold. Memory
is bounded by one chunk and the manifest (at most 1 MiB).
"""

import hashlib
import hmac
from collections.abc import Iterator

from federation.errors import MessageTooLarge, RecordCutShort, RecordDigestMismatch
from federation.protocol.parsing import parse
from federation.v1.record_pb2 import RecordEntry, RecordManifest, RecordPart
from keystore.transcript import LENGTH_BYTES

MOST_MANIFEST_BYTES = 1_048_576

Part = tuple[RecordEntry, RecordPart, Iterator[bytes]]


class RecordReader:
    """Reads a record once, in order. Every method raises RecordCutShort where the bytes end too soon."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """Read from these chunks, of any size."""
        self._chunks = chunks
        self._left = b""
        size = int.from_bytes(self._take(LENGTH_BYTES), "big")
        if size > MOST_MANIFEST_BYTES:
            raise MessageTooLarge(f"a manifest of {size} bytes; at most {MOST_MANIFEST_BYTES} are read")
        self.manifest = parse(RecordManifest, self._take(size))

    def parts(self) -> Iterator[Part]:
        """Yield each part with its bytes; what is left of one is read before the next comes.

        The bytes of a part raise RecordDigestMismatch at their end if they are not what the manifest says; what follows the
        last part does too.
        """
        for entry in self.manifest.records:
            for part in entry.parts:
                content = self._content(part)
                yield entry, part, content
                for _ in content:
                    pass
        if self._left or next(self._chunks, b""):
            raise RecordDigestMismatch("the record holds more than its manifest says")  # H2.17

    def _content(self, part: RecordPart) -> Iterator[bytes]:
        hasher, left = hashlib.sha256(), part.size_bytes
        while left:
            piece = self._some(left)
            hasher.update(piece)
            left -= len(piece)
            yield piece
        if not hmac.compare_digest(hasher.digest(), part.digest):
            raise RecordDigestMismatch("a part of the record is not what its manifest says")  # H2.17

    def _take(self, size: int) -> bytes:
        taken = bytearray()
        while len(taken) < size:
            taken += self._some(size - len(taken))
        return bytes(taken)

    def _some(self, most: int) -> bytes:
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                raise RecordCutShort("the record ends before its manifest says") from None
        piece, self._left = self._left[:most], self._left[most:]
        return piece


def verify_record(chunks: Iterator[bytes]) -> RecordManifest:
    """Read a record to its end and return its manifest. Raises RecordCutShort, RecordDigestMismatch, MalformedMessage."""
    reader = RecordReader(chunks)
    for _ in reader.parts():
        pass
    return reader.manifest
