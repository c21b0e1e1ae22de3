"""What every template and style sheet keeps to, so that the content policy holds and records stay text."""

import re
from pathlib import Path

import pytest

import federation.pages
from tests.contrast import contrast

PAGES = Path(federation.pages.__file__).parent
TEMPLATES = sorted((PAGES / "templates").rglob("*.html"))
SHEETS = sorted((PAGES / "static").glob("*.css"))
SCRIPTS = sorted((PAGES / "static").glob("*.js"))

FORBIDDEN = {
    "a style in the page": r"\bstyle\s*=|<style",
    "a script in the page": r"<script(?! src=\"/static/)",
    "a handler in the page": r"\son\w+\s*=",
    "an address outside": r"(?:href|src|action|formaction|poster|data|srcset)\s*=\s*[\"']?\s*(?:\w+:|//)",
    "text taken for markup": r"(?<!')\s*\|\s*safe|autoescape",
    "a page that refreshes itself": r"http-equiv=\"refresh\" content=\"(?!0;url=/\")",
    "a secret asked for in a page": r"type\s*=\s*[\"']?password",
    "a form sent by GET": r"<form(?![^>]*method=\"post\")",
}
"""Rule -> what breaks it. `safe` stands behind a literal of the template's own alone."""
BREAKS = {
    "a style in the page": ['<p style="x">', "<style>p {}</style>"],
    "a script in the page": ["<script>1</script>", '<script src="/other.js"></script>'],
    "a handler in the page": ['<b onclick="x()">', "<img src=x onerror=x>"],
    "an address outside": ['<a href="https://a.example">', "<img src='//a.example/x'>", '<a href="javascript:x">'],
    "text taken for markup": ["{{ record|safe }}", "{{ record | safe }}", "{% autoescape false %}"],
    "a page that refreshes itself": ['<meta http-equiv="refresh" content="5;url=/">'],
    "a secret asked for in a page": ['<input type="password" name="pin">', "<input type=password>"],
    "a form sent by GET": ['<form action="/x">', '<form method="get" action="/x">'],
}


def name_of(path: Path) -> str:
    return str(path.relative_to(PAGES))


def broken(text: str) -> list[str]:
    """Return the rules that a template breaks."""
    return [rule for rule, pattern in FORBIDDEN.items() if re.search(pattern, text)]


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
def test_template_keeps_to_the_rules(template: Path) -> None:
    assert broken(template.read_text()) == []


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in BREAKS.items() for text in texts])
def test_template_that_breaks_a_rule_is_found(rule: str, text: str) -> None:
    assert rule in broken(text)


def test_each_form_has_its_proof() -> None:
    for template in TEMPLATES:
        text = template.read_text()
        forms, proofs = (len(re.findall(pattern, text)) for pattern in (r"<form\b", r"\{\{ ?fields"))
        assert forms <= proofs, f"{template.name}: a form without fields()"


@pytest.mark.parametrize("sheet", SHEETS, ids=name_of)
def test_style_sheet_asks_for_nothing(sheet: Path) -> None:
    assert re.findall(r"@import|url\(|expression\(", sheet.read_text()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_script_makes_no_markup_and_runs_no_text(script: Path) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?:"
    assert re.findall(forbidden, script.read_text()) == []


def tokens(scheme: str) -> dict[str, str]:
    """Return the colours of a scheme by name; the dark one changes what it names."""
    text = (PAGES / "static" / "common.css").read_text()
    blocks = re.findall(r":root \{([^}]*)\}", text)
    assert len(blocks) == 3, "light, dark, print"
    colours: dict[str, str] = {}
    for block in blocks[: {"light": 1, "dark": 2}[scheme]]:
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    return colours


TEXTS = [
    *((ink, ground) for ink in ("ink", "quiet", "accent", "bad", "ok", "warn") for ground in ("paper", "ground")),
    *(("accent-ink", ground) for ground in ("accent", "bad")),
    *((name, f"{name}-ground") for name in ("ok", "warn", "bad")),
    *(("ink", f"{name}-ground") for name in ("ok", "warn", "bad")),
]
EDGES = [(edge, ground) for edge in ("edge", "focus", "accent") for ground in ("paper", "ground")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_text_can_be_read_on_its_ground(scheme: str) -> None:
    colours = tokens(scheme)
    faint = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in TEXTS}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_edge_can_be_seen_on_its_ground(scheme: str) -> None:
    colours = tokens(scheme)
    faint = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in EDGES}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < 3} == {}
