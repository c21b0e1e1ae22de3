"""Records of any hospitals as one chart: made by `chart_of`, for a terminal written by `text_of`, drawn by a page's template."""

from federation.clinical.chart.chart import Chart, Person, chart_of
from federation.clinical.chart.drawings import Svg
from federation.clinical.chart.reading import Origin, Source, When
from federation.clinical.chart.words import text_of

__all__ = ["Chart", "Origin", "Person", "Source", "Svg", "When", "chart_of", "text_of"]
