"""The chart's colours as numbers: what is read has 4.5 to 1, what is drawn 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re
from pathlib import Path

import pytest

import federation.pages
from tests.contrast import contrast, luminance

STATIC = Path(next(iter(federation.pages.__path__))) / "static"
CHART = (STATIC / "chart.css").read_text()
COMMON = (STATIC / "common.css").read_text()


def tokens(block: str) -> dict[str, str]:
    """Return the colours that a block of the style sheet sets."""
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


LIGHT = tokens(COMMON[: COMMON.index("@media")])
DARK = LIGHT | tokens(COMMON[COMMON.index("prefers-color-scheme: dark") :].partition("\n}\n")[0])

READ = [
    *((ink, "paper") for ink in ("ink", "quiet", "accent", "bad")),
    *((ink, "ground") for ink in ("ink", "quiet", "accent")),
    *((ink, "bad-ground") for ink in ("ink", "bad")),
    *(("ink", ground) for ground in ("warn-ground", "ok-ground")),
    ("paper", "warn"),
]
"""What is written on what: cards and banner are paper, the foot lies on the ground, a label may lie in a bar."""

DRAWN = [
    *((line, ground) for line in ("accent", "quiet", "ink", "bad") for ground in ("paper", "ok-ground")),
    *((line, "paper") for line in ("warn", "quiet", "focus")),
    *(("bad", "bad-ground"), ("warn", "warn-ground"), ("ok", "ok-ground")),
]


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


in_both_schemes = pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])


@in_both_schemes
@pytest.mark.parametrize(("ink", "ground"), READ)
def test_what_is_read_stands_out(ink: str, ground: str, colours: dict[str, str]) -> None:
    assert contrast(colours[ink], colours[ground]) >= 4.5


@in_both_schemes
@pytest.mark.parametrize(("line", "ground"), DRAWN)
def test_what_is_drawn_stands_out(line: str, ground: str, colours: dict[str, str]) -> None:
    assert contrast(colours[line], colours[ground]) >= 3


def test_dark_is_another_scheme() -> None:
    assert luminance(DARK["ground"]) < luminance(DARK["ink"])
    assert luminance(LIGHT["ground"]) > luminance(LIGHT["ink"])


def test_every_colour_is_a_token_that_is_defined() -> None:
    used = set(re.findall(r"var\(--([\w-]+)\)", CHART))
    assert used <= LIGHT.keys()
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", CHART)


def test_nothing_moves() -> None:
    assert not re.search(r"animation|transition|@keyframes", CHART)


def test_every_rule_is_of_the_chart_alone() -> None:
    without_comments = re.sub(r"/\*.*?\*/", "", CHART, flags=re.DOTALL)
    selectors = re.findall(r"([^{}]+)\{", without_comments)
    for selector in (part.strip() for group in selectors for part in group.split(",")):
        assert selector.startswith((".chart", "@media")), selector
