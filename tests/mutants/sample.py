"""What the run is tried on: a check that a test misses, one that no test misses, one that never fires."""


def halved(number: int) -> int:
    """Halve an even number of at most two digits. Raises ValueError, TypeError."""
    if number % 2:
        raise ValueError("odd")
    _require_small(number)
    if isinstance(number, bool):
        raise TypeError("no number")
    return number // 2


def _require_small(number: int) -> None:
    if number > 99:
        raise ValueError("large")
