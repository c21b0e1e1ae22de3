"""How transfers are shown: a bar on a terminal, else a line every few seconds."""

import io

from rich.console import Console

from federation.cli.transfers import LINE_SECONDS, Lines, transfers
from federation.words import Pace, transferred


class Watch:
    """Seconds, as a test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_bar_has_bytes_total_rate_and_time_left() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with transfers(console) as show:
        show("fetching from H:alpha", 0, None)
        show("fetching from H:alpha", 12_500_000, 300_700_000)
    shown = written.getvalue()
    assert "fetching from H:alpha" in shown
    assert "12.5/300.7 MB" in shown


def test_nobody_at_the_terminal_gets_a_line_every_few_seconds() -> None:
    said: list[str] = []
    watch = Watch()
    lines = Lines(said.append, watch)
    for second in range(21):
        watch.now = float(second)
        lines.show("fetching from H:alpha", 1_000_000 * second, 60_000_000)
    assert len(said) == 20 // LINE_SECONDS
    assert said[0] == "fetching from H:alpha: 5.0 MB of 60.0 MB, 1.0 MB/s, 55 seconds left"


def test_what_is_done_at_once_says_nothing_where_nobody_looks() -> None:
    written = io.StringIO()
    with transfers(Console(file=written)) as show:
        show("fetching from H:alpha", 1000, 1000)
    assert written.getvalue() == ""


def test_what_was_there_before_counts_for_no_rate() -> None:
    watch = Watch()
    pace = Pace(watch)
    assert pace.words(100_000_000, 300_000_000) == "100.0 MB of 300.0 MB"
    watch.now = 10.0
    assert pace.words(110_000_000, 300_000_000) == "110.0 MB of 300.0 MB, 1.0 MB/s, 3 minutes left"


def test_time_left_is_in_words() -> None:
    assert transferred(1, 10, 1) == "1 byte of 10 bytes, 1 byte/s, 9 seconds left"
    assert transferred(0, 36_000, 1).endswith(", 10 hours left")
    assert transferred(10, 10, 1) == "10 bytes of 10 bytes, 1 byte/s"
    assert transferred(10, None, 1) == "10 bytes, 1 byte/s"
