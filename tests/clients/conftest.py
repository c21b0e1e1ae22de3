"""Foreign clients run where their toolchain is; where all are required, they run and fail."""

import sys
from collections.abc import Iterator

import pytest

from demo.stage import Federation, federation
from tests.clients.foreign import REQUIRED, TOOLCHAINS, build, missing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of what was built once for each language, unless it names its own."""
    named = any(mark.args[0] == "built" for mark in metafunc.definition.iter_markers("parametrize"))
    if "built" in metafunc.fixturenames and not named:
        metafunc.parametrize("built", list(TOOLCHAINS), indirect=True, scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the languages that this machine can't build, loudly."""
    languages = [language for language in TOOLCHAINS if missing(language) and not REQUIRED]
    left_out = [item for item in items if any(f"[{language}]" in item.name for language in languages)]
    if left_out:
        for language in languages:
            print(f"NOT RUN HERE: the {language} client. There is no {missing(language)}.", file=sys.stderr)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Give a federation of Python servers, as their commands run them."""
    with federation(tmp_path_factory.mktemp("federation")) as made:
        yield made


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest) -> str:
    """Give a language whose client is built."""
    language: str = request.param
    build(language)
    return language
