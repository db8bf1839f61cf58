"""The table of layouts in docs/data.md is what the commands do."""

from tests.bench.layouts_table import PAGE, written


def test_the_page_has_the_table_of_now():
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run `make layouts-table`"
