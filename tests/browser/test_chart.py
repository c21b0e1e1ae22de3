"""The chart in a real browser, on a page that an agent serves: read, unfolded, on a phone, printed; and with hostile records."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.clinical.chart import Chart, Source, chart_of
from federation.pages import render
from federation.pages.serve import Agent
from federation.pages.stage import Stage
from tests.browser import counter  # noqa: F401 - names the folder of tests' templates
from tests.browser.browsing import DESK, PHONE, Visitor, axe, no_sideways_scroll, shoot, tab_to, visiting
from tests.unit.clinical.chart.charts import PATIENT_ID, TODAY, synthea
from tests.unit.clinical.chart.handmade import cardiology

SCRIPT = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


@dataclass(frozen=True)
class Charted:
    chart: Chart


class ChartSide:
    """A side whose only page is a chart."""

    name = "desk"
    title = "medunion, a chart"

    def __init__(self, chart: Chart) -> None:
        self.stage: Stage[Charted] = Stage(Charted(chart), lambda state, _error: state)

    def home(self, state: Charted) -> str:
        return "/chart"

    def lock(self, state: Charted) -> Charted:
        return state

    def unlock(self, state: Charted) -> Charted:
        return state

    def routes(self) -> Sequence[Route]:
        return [Route("/chart", self.show), Route("/record/{key}", self.record)]

    async def show(self, request: Request) -> Response:
        return render.page(request, "charted.html", link=lambda key: f"/record/{key}")

    async def record(self, request: Request) -> Response:
        return Response(f"record {request.path_params['key']}")


def chart(*bundles: dict[str, Any]) -> Chart:
    hospitals = ("H:alpha", "H:beta")
    sources = [
        Source(hospital, str(number), bundle, f"{hospital}/general")
        for number, (hospital, bundle) in enumerate(zip(hospitals, bundles, strict=False))
    ]
    return chart_of(sources, today=TODAY, patient_id=PATIENT_ID)


def hostile(value: Any) -> Any:
    """Return a record with a script in each text that is shown."""
    if isinstance(value, dict):
        shown = {"text", "display", "unit", "family", "description", "title", "conclusion"}
        return {name: SCRIPT if name in shown and isinstance(it, str) else hostile(it) for name, it in value.items()}
    return [hostile(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def visited(shown: Chart, size: tuple[int, int] = DESK, **options: Any) -> Iterator[Visitor]:
        agent = Agent(ChartSide(shown), tmp_path)
        with agent.running(), visiting(browser, agent.new_entrance(), size, **options) as visitor:
            yield visitor

    return visited


BOTH = chart(synthea("johnnie679"), cardiology())
NOT_STATED = chart(synthea("luna60"))


@pytest.mark.parametrize("shown", [BOTH, NOT_STATED, chart()], ids=["listed", "not stated", "nothing"])
def test_a_chart_is_read_folded_and_unfolded_by_anyone(visit: Callable[..., Any], shown: Chart, tmp_path: Path) -> None:
    with visit(shown) as visitor:
        page = visitor.page
        axe(page)
        no_sideways_scroll(page)
        shoot(page, tmp_path / "chart.png")
        page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
        axe(page)
        no_sideways_scroll(page)
        shoot(page, tmp_path / "chart-unfolded.png")


def test_allergies_stay_in_sight_and_say_which_state_they_are_in(visit: Callable[..., Any]) -> None:
    with visit(BOTH) as visitor:
        page = visitor.page
        page.mouse.wheel(0, 1500)
        page.wait_for_function("scrollY > 500")
        expect(page.locator(".chart-banner").get_by_text("Penicillin")).to_be_in_viewport()
    with visit(NOT_STATED) as visitor:
        expect(visitor.page.locator(".chart-banner")).to_contain_text("Allergies: not stated, ask")
        expect(visitor.page.locator(".chart-banner")).not_to_contain_text("No allergies")


def test_a_row_leads_to_its_record_and_is_reached_by_the_keyboard(visit: Callable[..., Any]) -> None:
    with visit(BOTH) as visitor:
        page = visitor.page
        problems = page.get_by_role("region", name=re.compile("^Problems"))
        row = problems.get_by_role("listitem").filter(has_text="Paroxysmal atrial fibrillation")
        link = row.get_by_role("link")
        expect(link).to_have_accessible_name("H:beta as it came")
        tab_to(page, link)
        visitor.allow("404")  # nobody serves records here
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/record/1#entry-"))


def test_a_series_unfolds_into_its_values(visit: Callable[..., Any]) -> None:
    with visit(BOTH, PHONE) as visitor:
        page = visitor.page
        creatinine = page.locator(".measured").filter(has_text="Creatinine")
        creatinine.get_by_text("4 values", exact=True).click()
        expect(creatinine.get_by_role("cell", name="1.24 mg/dL")).to_be_visible()
        expect(creatinine.get_by_role("img")).to_have_accessible_name(re.compile("^Creatinine, 4 values"))


def test_without_script_the_chart_is_the_same(visit: Callable[..., Any]) -> None:
    with visit(BOTH) as scripted, visit(BOTH, java_script_enabled=False) as plain:
        texts = [visitor.page.locator(".chart-body").inner_text() for visitor in (scripted, plain)]
        assert texts[0] == texts[1]


def test_printed_the_resolved_problems_are_there(visit: Callable[..., Any]) -> None:
    with visit(BOTH) as visitor:
        page = visitor.page
        sinusitis = page.get_by_text("Sinusitis", exact=True).first
        expect(sinusitis).to_be_hidden()
        page.emulate_media(media="print")
        expect(page.locator(".chart-banner")).to_have_css("position", "static")
        expect(sinusitis).to_be_visible()


def test_hostile_records_run_nothing(visit: Callable[..., Any]) -> None:
    """The visitor's check at the end finds a script that ran, a policy that had to stop one, and a request that left."""
    with visit(chart(hostile(synthea("johnnie679")), hostile(cardiology()))) as visitor:
        page = visitor.page
        page.on("dialog", lambda dialog: pytest.fail(f"a record's script ran: {dialog.message}"))
        page.reload()
        expect(page.get_by_text(SCRIPT).first).to_be_visible()
        assert page.locator("main img, main script").count() == 0
        page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
        no_sideways_scroll(page)
