"""A server's log as files: its tree as C2SP's tlog-tiles serves one, and beside it the entries, sealed as they are kept.

    public/checkpoint              the head: a signed note with its witnesses' lines
    public/tile/<L>/<N>[.p/<W>]    the hashes of a tile, 32 bytes each; level 0 are the leaves' hashes
    sealed/<N>                     the entries of the N-th 256 leaves

There is no tile/entries, for a leaf commits to an entry and doesn't tell it. The directory may be a mounted bucket: each file is
put in its place whole, the checkpoint last, and what is there already stays. docs/adr/0033-log-tree.md
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final

import safefiles
from federation.errors import Corrupt
from federation.party.audit import Audit
from federation.party.log_heads import OwnLog
from federation.protocol.merkle import root
from federation.store.log import TILE_HEIGHT, TILE_WIDTH, root_of
from federation.store.rows import LogEntry, StoredHead

CHECKPOINT: Final = "checkpoint"
_HASH_BYTES: Final = 32
_ENTRY: Final = struct.Struct(">QQ16s32sI")
"""Of an entry of a bundle: its number, its time, its id, its leaf, and how many sealed bytes follow: none of a shredded one."""

_READABLE: Final = 0o644


@dataclass(frozen=True)
class Archived:
    """What an archive holds: the head, the entries of all full bundles, and how many tiles and bundles were written now."""

    head: StoredHead
    entries: int
    written: int
    removed: int


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return where a tile is (C2SP tlog-tiles): its number in groups of three digits, all but the last with an x."""
    edge = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{_grouped(index)}{edge}"


def _grouped(index: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *first, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
    return "/".join([*(f"x{it}" for it in first), last])


@dataclass(frozen=True)
class LogArchive:
    """A directory of a log's files."""

    directory: Path
    own: OwnLog
    audit: Audit
    progress: Callable[[int], None] = lambda _: None

    def write(self) -> Archived | None:
        """Write what the archive lacks up to the newest cosigned head, or the newest of all; verify it, then show that head.

        None where nothing was ever signed. Bundles whose entries were all shredded are removed. Raises Corrupt where the files
        don't give the head's root, or a new bundle doesn't open to its leaves; OSError, StoreError, HsmError.
        """
        head = self.own.newest_believed() or self.own.sign_newest()
        if head is None:
            return None
        written = [path for path, content in self._tiles(head.size) if self._put(path, content)]
        full = head.size // TILE_WIDTH
        bundles = [index for index in range(self._gone(), full) if self._put_bundle(index)]
        self._require(head, bundles)
        lines = b"".join(it.line for it in self.own.heads.cosignatures(head.number, head.size))
        safefiles.replace(self.directory / "public" / CHECKPOINT, head.note + lines, _READABLE)
        removed = self._remove_over(head.size)
        return Archived(head, full * TILE_WIDTH, len(written) + len(bundles), removed)

    def _gone(self) -> int:
        """Return the number of the first bundle of which something is left."""
        return self.own.log.shredded() // TILE_WIDTH

    def _tiles(self, size: int) -> Iterator[tuple[Path, Callable[[], bytes]]]:
        for level, index, width in tiles_of(size):
            path = self.directory / "public" / tile_path(level, index, width)
            yield path, partial(self.own.log.tile, level, index, width)

    def _put(self, path: Path, content: Callable[[], bytes]) -> bool:
        """Write a file that is not there, and say whether it was not."""
        if path.exists():
            return False
        _make_public(path.parent)
        safefiles.replace(path, content(), _READABLE)
        self.progress(1)
        return True

    def _bundle(self, index: int) -> Path:
        return self.directory / "sealed" / _grouped(index)

    def _put_bundle(self, index: int) -> bool:
        path = self._bundle(index)
        if path.exists():
            return False
        safefiles.make_directory(path.parent)
        first = index * TILE_WIDTH
        safefiles.replace(path, b"".join(map(_packed, self.own.log.entries(after=first, up_to=first + TILE_WIDTH))))
        self.progress(1)
        return True

    def _require(self, head: StoredHead, bundles: Sequence[int]) -> None:
        """Require the files alone to give the head's root, and each new bundle to open to the leaves of its tile."""
        tiles = Tiles(self.directory / "public", head.size)
        tiles.require(head.root)
        for index in bundles:
            self._require_bundle(index, tiles.hashes(0, index))

    def _require_bundle(self, index: int, leaves: Sequence[bytes]) -> None:
        entries = list(_unpacked(self._bundle(index).read_bytes()))
        if [it.leaf for it in entries] != leaves:
            raise Corrupt(f"bundle {index} of the archive is not of the leaves of its tile")
        for entry in entries:
            self.audit.opened(entry)

    def _remove_over(self, size: int) -> int:
        """Remove bundles that hold shredded entries alone, and tiles that are full by now as they were before."""
        over = [it for it in (self._bundle(index) for index in range(self._gone())) if it.exists()]
        public = self.directory / "public"
        for level, index, width in tiles_of(size):
            partials = public / f"{tile_path(level, index)}.p"
            if width == TILE_WIDTH and partials.is_dir():
                over += partials.iterdir()
        for path in over:
            path.unlink()
        return len(over)


def tiles_of(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield level, number and width of every tile of a tree of so many leaves, the lowest level first."""
    level, hashes = 0, size
    while hashes:
        for index in range(-(-hashes // TILE_WIDTH)):
            yield level, index, min(TILE_WIDTH, hashes - index * TILE_WIDTH)
        level, hashes = level + 1, hashes // TILE_WIDTH


@dataclass(frozen=True)
class Tiles:
    """The tiles of a tree of so many leaves, as files."""

    directory: Path
    size: int

    def hashes(self, level: int, index: int) -> Sequence[bytes]:
        """Return the hashes of a tile. Raises Corrupt, OSError."""
        width = min(TILE_WIDTH, self._hashes_of(level) - index * TILE_WIDTH)
        data = (self.directory / tile_path(level, index, width)).read_bytes()
        if len(data) != width * _HASH_BYTES:
            raise Corrupt(f"the tile {level}/{index} of the archive is not of {width} hashes")
        return [data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)]

    def node(self, level: int, index: int) -> bytes:
        """Return a node of the tree."""
        row, height = divmod(level, TILE_HEIGHT)
        tile, first = divmod(index << height, TILE_WIDTH)
        return root_of(self.hashes(row, tile)[first : first + (1 << height)])

    def require(self, of_root: bytes) -> None:
        """Require each row of tiles to have the hashes of the row below, and all of them a root. Raises Corrupt, OSError."""
        for level in sorted({level for level, _, _ in tiles_of(self.size)}):
            above = self._row(level + 1)
            for index in range(self._hashes_of(level) // TILE_WIDTH):
                if next(above, None) != root_of(self.hashes(level, index)):
                    raise Corrupt(f"the tile {level}/{index} of the archive is not the one that the tree has")
        if root(self.size, self.node) != of_root:
            raise Corrupt("the archive's tiles do not give the root of its head")

    def _row(self, level: int) -> Iterator[bytes]:
        for index in range(-(-self._hashes_of(level) // TILE_WIDTH)):
            yield from self.hashes(level, index)

    def _hashes_of(self, level: int) -> int:
        return self.size >> (TILE_HEIGHT * level)


def _packed(entry: LogEntry) -> bytes:
    sealed = entry.sealed or b""
    return _ENTRY.pack(entry.sequence, entry.at, entry.entry_id, entry.leaf, len(sealed)) + sealed


def _unpacked(data: bytes) -> Iterator[LogEntry]:
    """Yield the entries of a bundle. Raises Corrupt."""
    at = 0
    while at < len(data):
        if len(data) - at < _ENTRY.size:
            raise Corrupt("a bundle of the archive is cut off")
        sequence, moment, entry_id, leaf, length = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        sealed, at = data[at : at + length], at + length
        if len(sealed) != length:
            raise Corrupt("a bundle of the archive is cut off")
        yield LogEntry(sequence, moment, entry_id, leaf, sealed or None)


def _make_public(directory: Path) -> None:
    """Make a directory that a static server may read, and those above it that are missing."""
    missing = list(takewhile(lambda it: not it.is_dir(), (directory, *directory.parents)))
    safefiles.make_directory(directory)
    for made in missing:
        made.chmod(0o755)
