"""Small things that a client keeps until they are done: a file each, sealed under its token's key, durable and alone."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import safefiles
from federation.party.member import Member
from keystore.errors import SealBroken
from keystore.transcript import text, transcript

SUFFIX = ".sealed"


class SealedFiles:
    """Files of one kind, each under 16 bytes of name. Another token, party, kind or name opens none of them."""

    def __init__(self, directory: Path, member: Member, kind: str) -> None:
        """Keep them in this directory, made at need with mode 0700."""
        self._directory = directory
        self._member = member
        self._kind = kind

    def put(self, name: bytes, content: bytes) -> None:
        """Keep it, in the place of what was there; durable when this returns."""
        safefiles.make_directory(self._directory)
        safefiles.replace(self._path(name), self._member.sealing.seal(content, self._context(name)))

    def get(self, name: bytes) -> bytes | None:
        """Return it, or None. Raises SealBroken for another token's."""
        try:
            sealed = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        return self._member.sealing.open(sealed, self._context(name))

    def remove(self, name: bytes) -> None:
        """Forget it; none there is no error."""
        self._path(name).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            safefiles.sync_directory(self._directory)

    def all(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield name and content of those that this token opens, in no order that means anything."""
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            with suppress(ValueError, SealBroken):
                name = bytes.fromhex(path.stem)
                content = self.get(name)
                if content is not None:
                    yield name, content

    def reseal(self) -> Iterator[bool]:
        """Seal every file anew that this token opens under another key than the active one; say of each whether it was."""
        sealing = self._member.sealing
        for path, sealed in self._sealed():
            anew = sealed
            with suppress(ValueError, SealBroken):
                anew = sealing.reseal(sealed, self._context(bytes.fromhex(path.stem)))
            if anew != sealed:
                safefiles.replace(path, anew)
            yield anew != sealed

    def count_under(self, generation: int) -> int:
        """Count the files that a generation of the sealing key sealed."""
        return sum(self._member.sealing.generation_of(sealed) == generation for _, sealed in self._sealed())

    def _sealed(self) -> Iterator[tuple[Path, bytes]]:
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            with suppress(FileNotFoundError):
                yield path, path.read_bytes()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other program of this client out until the block ends."""
        safefiles.make_directory(self._directory)
        with safefiles.lock(self._directory / "lock"):
            yield

    def _path(self, name: bytes) -> Path:
        return self._directory / (name.hex() + SUFFIX)

    def _context(self, name: bytes) -> bytes:
        return transcript("kept", text(self._kind), text(self._member.identity), name)
