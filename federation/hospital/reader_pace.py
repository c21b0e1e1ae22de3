"""How large the slices of a record are: what its reader takes in about two seconds (docs/adr/0041-transfers.md).

On a slow line the answer to a ping waits behind the slice that is on its way, and so does the news that a consent ended.
A size is a power of two, and a slice ends at a multiple of it: so each multiple of SLICE_BYTES, behind which a record goes on
in another session, is the end of a slice, whatever sizes came before. They go by the reader's pace alone, never by the content.
"""

from federation.protocol.frames import SLICE_BYTES

FIRST_BYTES = 64 * 1024
SMALLEST_SLICE_BYTES = 16 * 1024
SLICE_SECONDS = 2.0
"""How long a slice is to take."""


class ReaderPace:
    """Sizes for one record on its way: 64 KiB first, each at most twice the last."""

    def __init__(self) -> None:
        """Begin with a reader whose pace is not known."""
        self._size = FIRST_BYTES
        self._slice_bytes = 0

    def next_size(self, offset: int) -> int:
        """Return the bytes of the slice that begins behind so many."""
        self._slice_bytes = self._size - offset % self._size
        return self._slice_bytes

    def took(self, seconds: float) -> None:
        """Go by how long the slice took until the next was asked for."""
        most = min(2 * self._slice_bytes, SLICE_BYTES)
        if seconds * most > SLICE_SECONDS * self._slice_bytes:
            most = int(SLICE_SECONDS * self._slice_bytes / seconds)
        self._size = max(SMALLEST_SLICE_BYTES, 1 << most.bit_length() >> 1)
