"""What all checks share: a lesson goes on with a right answer, and with the library's else."""

import pytest

from course_lib.checks.answers import expect_order
from course_lib.checks.report import TryAgain, check, expect


@check
def double(function):
    """Whether the answer doubles a number."""
    expect(function(3) == 6, "three doubled is six")
    return "doubled."


def library(x):
    return 2 * x


def stub(x):
    raise NotImplementedError


def test_the_learners_answer_is_used_once_it_is_right(capsys):
    def mine(x):
        return x + x

    assert double.choose(mine, library) is mine
    assert "double: yours" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [stub, ..., lambda x: x])
def test_the_librarys_is_used_until_then(wrong, capsys):
    assert double.choose(wrong, library) is library
    assert "double: the library's, until yours is [ok]" in capsys.readouterr().out


def test_an_order_may_be_written_with_spaces_and_in_small_letters():
    expect_order("d, b a c", "DBAC", "the loop")


@pytest.mark.parametrize(
    ("answer", "advice"),
    [("DABC", "line 2 cannot be A. B first."), ("DBA", "each of the letters"), (3, "letters")],
)
def test_a_wrong_order_is_told_at_its_first_wrong_line(answer, advice):
    with pytest.raises(TryAgain, match=advice.replace(".", r"\.")):
        expect_order(answer, "DBAC", "the loop", {"B": "B first."})
