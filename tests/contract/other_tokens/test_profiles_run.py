"""The contract suite, `medunion token check` and a whole visit under every profile; docs/tokens.md says what came out."""

import pytest

from tests.contract.limited import PROFILES
from tests.contract.other_tokens.test_suite_on_other_tokens import HAS_NSS
from tests.contract.profile_runs import BEGIN, END, HEAD, PAGE, run

HERE = [name for name, profile in PROFILES.items() if HAS_NSS or profile["base"] != "nss"]


@pytest.mark.parametrize("name", HERE)
def test_page_says_what_the_run_under_the_profile_gave(name: str) -> None:
    assert run(name).row in PAGE.read_text()


def test_table_has_a_row_for_every_profile_and_no_other() -> None:
    _, rest = PAGE.read_text().split(BEGIN)
    table, _ = rest.split(END)
    head, *rows = table.strip().removeprefix(HEAD.strip()).splitlines()
    assert head == ""
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [entry["product"] for entry in PROFILES.values()]
