"""How far a variant usually is off is not decided by its faults."""

from __future__ import annotations

import numpy as np

from converter.validation.deviation import _Output

RIGHT, WRONG = 0.01, 0.5


def usual(*cases: tuple[int, int]) -> float:
    """The usual error of an output with these numbers of right and of wrong rows in each case."""
    output = _Output()
    output.variance.add(np.array([[-1.0], [1.0]]))  # a spread of 1
    for number, (right, wrong) in enumerate(cases):
        output.errors[str(number)] = np.array([RIGHT] * right + [WRONG] * wrong) ** 2
    return output.usual


def test_a_fault_in_the_first_row_of_each_case_does_not_make_the_usual_error() -> None:
    assert np.isclose(usual((0, 1), (0, 1), (0, 1), (8, 1), (6, 1)), 3 * RIGHT)


def test_a_fault_in_all_rows_of_the_largest_case_does_not_either() -> None:
    assert np.isclose(usual((1, 0), (2, 0), (0, 99), (7, 0)), RIGHT)


def test_what_is_off_everywhere_is_usually_off() -> None:
    assert np.isclose(usual((0, 1), (0, 9), (0, 3)), WRONG)
