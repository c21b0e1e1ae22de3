"""M_EMR || zeros on its way to the doctor: its manifest says where it ends, and so what has to be padding (C8)."""

import hashlib
from dataclasses import dataclass, field, replace

from federation.errors import Limit, MessageTooLarge, PaddingInvalid, RecordCutShort
from federation.protocol.padding import padded_size, require_padded, require_zeros
from federation.protocol.parsing import parse, payload_rule
from federation.protocol.session import MOST_SLICES
from federation.v1.record_pb2 import RecordManifest
from keystore.transcript import LENGTH_BYTES


@dataclass(frozen=True, repr=False)
class IncomingRecord:
    """What came of M_EMR so far. `manifest` and `size_bytes` are known once that is whole; nothing of it is proved yet."""

    hasher: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    slices: int = 0
    arrived: int = 0
    head: bytes = b""
    manifest: RecordManifest | None = None
    size_bytes: int | None = None

    def take(self, piece: bytes) -> "tuple[IncomingRecord, bytes]":
        """Give the state after a slice, and what of the slice is content.

        Raises PaddingInvalid, at the first byte too many; MalformedMessage for a manifest that is none, Limit for one in too
        many slices.
        """
        state = self if self.size_bytes is not None else self._with_head(self.head + piece)
        if state.size_bytes is not None and self.arrived + len(piece) > padded_size(state.size_bytes):
            raise PaddingInvalid("more came than the manifest says")
        content = piece if state.size_bytes is None else piece[: max(0, state.size_bytes - self.arrived)]
        require_zeros(piece[len(content) :])
        hasher = self.hasher.copy()
        hasher.update(content)
        came = replace(state, hasher=hasher, slices=self.slices + 1, arrived=self.arrived + len(piece))
        return came, content

    def whole_digest(self) -> bytes:
        """Give H(M_EMR). Raises RecordCutShort, PaddingInvalid unless all of it came, padded as its size is."""
        if self.size_bytes is None or self.arrived < self.size_bytes:
            raise RecordCutShort("the record ends before its manifest says")
        require_padded(self.arrived, self.size_bytes)
        return self.hasher.digest()

    def _with_head(self, head: bytes) -> "IncomingRecord":
        if self.slices >= MOST_SLICES:
            raise Limit(f"a manifest comes in at most {MOST_SLICES} slices")
        most = payload_rule(RecordManifest.DESCRIPTOR).max_size
        end = LENGTH_BYTES + int.from_bytes(head[:LENGTH_BYTES], "big")
        if len(head) < LENGTH_BYTES or (len(head) < end <= LENGTH_BYTES + most):
            return replace(self, head=head)
        if end > LENGTH_BYTES + most:
            raise MessageTooLarge(f"a manifest has at most {most} bytes")
        manifest = parse(RecordManifest, head[LENGTH_BYTES:end])
        parts = (part.size_bytes for entry in manifest.records for part in entry.parts)
        return replace(self, head=b"", manifest=manifest, size_bytes=end + sum(parts))
