"""Pages of which a script writes a part."""

import pytest

from authoring.markers import replace_between

PAGE = "before\n<!-- x -->\n\nold\n\n<!-- end of x -->\nafter <!-- y -->\n"


def test_what_stands_between_the_markers_is_replaced_and_nothing_else():
    new = replace_between(PAGE, "x", r"| new | \1 |")
    assert new == PAGE.replace("old", r"| new | \1 |")
    assert replace_between(new, "x", "old\n") == PAGE


def test_a_place_can_be_left_empty_and_filled_again():
    empty = replace_between(PAGE, "x", "")
    assert empty == PAGE.replace("\nold\n", "")
    assert replace_between(empty, "x", "old") == PAGE


@pytest.mark.parametrize("page", ["", "<!-- x -->", PAGE + PAGE])
def test_a_page_that_lacks_the_place_or_has_it_twice_is_refused(page):
    with pytest.raises(ValueError, match="expected <!-- x --> and <!-- end of x --> once"):
        replace_between(page, "x", "new")
