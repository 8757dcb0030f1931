"""Rows and columns are assigned as git does it, which series by chance seldom tell apart."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest

from patchsync.range_diff.assignment import assign

# What git's compute_assignment (2.39) gave for the costs: the row of each column.
OF_GIT = [
    # Among equally cheap ones
    ([[17, 3, 2, 2], [13, 4, 3, 3], [4, 1, 0, 0], [4, 1, 0, 0]], [3, 1, 0, 2]),
    # Not the cheapest
    (
        [[15, 12, 4, 2, 2], [4, 3, 1, 4, 4], [7, 4, 8, 0, 0], [7, 4, 8, 0, 0], [7, 4, 8, 0, 0]],
        [4, 1, 0, 3, 2],
    ),
    # One column without a row
    (
        [[3, 12, 4, 6, 6], [12, 15, 7, 9, 9], [3, 9, 1, 0, 0], [3, 9, 1, 0, 0], [3, 9, 1, 0, 0]],
        [0, 3, 1, -1, 4],
    ),
]


@pytest.mark.parametrize(("cost", "rows"), OF_GIT)
def test_as_git(cost: list[list[int]], rows: list[int]) -> None:
    """Where the algorithm alone does not decide it, too."""
    assert assign(cost) == rows


def test_what_is_clearly_cheapest_is_found(random: Random) -> None:
    """One pair each that costs nothing: no other assignment is as cheap."""
    for size in range(1, 8):
        rows = random.choice(list(permutations(range(size))))
        cost = [
            [0 if rows[column] == row else random.randint(1, 9) for column in range(size)]
            for row in range(size)
        ]
        assert assign(cost) == list(rows)


@pytest.mark.parametrize("kind", ["equal", "product", "contested"])
def test_costs_that_take_long_end(kind: str) -> None:
    """As many as two of the largest series make, and no row twice."""
    size = 120
    costs = {
        "equal": lambda row, column: 7,
        "product": lambda row, column: (row + 1) * (column + 1),
        "contested": lambda row, column: (0 if column < 2 else 60_000) + (row * column) % 3,
    }
    cost = [[costs[kind](row, column) for column in range(size)] for row in range(size)]
    rows = [row for row in assign(cost) if row >= 0]
    assert len(set(rows)) == len(rows)
