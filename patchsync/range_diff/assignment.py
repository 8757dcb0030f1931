"""A cheap way to assign rows to columns: the one that git finds.

R. Jonker, A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
assignment problems", Computing 38 (1987), as git's linear-assignment does it. Which of equal costs
is taken first decides between results that cost the same, and in one of twenty small random cases
git's is not quite the cheapest (see `augment`). Ours is to be git's.
"""

from __future__ import annotations

from collections.abc import Sequence

_FREE = -1


def assign(cost: Sequence[Sequence[int]]) -> list[int]:
    """The row of each column, -1 of one that has none. `cost`: square, a row after the other."""
    size = len(cost)
    if size < 2:
        return [0] * size
    solution = _Solution(cost)
    free = solution.reduce_columns()
    for _ in range(2):
        if free:
            free = solution.reduce_rows(free)
    for row in free:
        solution.augment(row)
    return solution.row_of


class _Solution:
    """The assignment so far, and what a column takes off the cost of a row (its price)."""

    def __init__(self, cost: Sequence[Sequence[int]]) -> None:
        self.cost = cost
        self.size = len(cost)
        self.column_of = [_FREE] * self.size
        self.row_of = [_FREE] * self.size
        self.price = [0] * self.size

    def reduce_columns(self) -> list[int]:
        """Give each column its cheapest row; returns the rows that have no column then."""
        claimed_again = set()
        for column in reversed(range(self.size)):
            row = min(range(self.size), key=lambda row: self.cost[row][column])
            self.price[column] = self.cost[row][column]
            if self.column_of[row] == _FREE:
                self._pair(row, column)
            else:
                claimed_again.add(row)
        # A row that only one column wants leaves the others what it would not have paid anyway.
        for row, own in enumerate(self.column_of):
            if own != _FREE and row not in claimed_again:
                reduced = self._reduced(row)
                self.price[own] -= min(reduced[:own] + reduced[own + 1 :])
        return [row for row, column in enumerate(self.column_of) if column == _FREE]

    def reduce_rows(self, free: Sequence[int]) -> list[int]:
        """Let each free row bid for its cheapest column; returns those that are free then."""
        waiting = list(reversed(free))
        left_over = []
        while waiting:
            row = waiting.pop()
            (least, column), (second, next_column) = self._two_cheapest(row)
            outbid = self.row_of[column]
            if least < second:
                self.price[column] -= second - least
                if outbid != _FREE:
                    waiting.append(outbid)
            elif outbid != _FREE:
                column = next_column
                outbid = self.row_of[column]
                if outbid != _FREE:
                    left_over.append(outbid)
            self._pair(row, column)
        return left_over

    def augment(self, row: int) -> None:
        """Find the free row a column by the shortest path of rows that change theirs (Dijkstra)."""
        distance = self._reduced(row)
        before = [row] * self.size
        # Those done; those at the least distance, that are next; the others
        columns = list(range(self.size))
        done = ready = settled = least = 0
        column = _FREE
        is_found = False
        while not is_found:
            if done == ready:
                settled, ready = done, done + 1
                least = distance[columns[done]]
                for at in range(ready, self.size):
                    column = columns[at]
                    if distance[column] > least:
                        continue
                    if distance[column] < least:
                        ready, least = done, distance[column]
                    columns[at], columns[ready] = columns[ready], column
                    ready += 1
                # git does not go on from the free one, but from the last one that it looked at.
                if any(self.row_of[column] == _FREE for column in columns[done:ready]):
                    break
            via = self.row_of[columns[done]]
            reduced = self._reduced(via)
            detour = reduced[columns[done]] - least
            done += 1
            for at in range(ready, self.size):
                column = columns[at]
                if (length := reduced[column] - detour) >= distance[column]:
                    continue
                distance[column], before[column] = length, via
                if length == least:
                    if is_found := self.row_of[column] == _FREE:
                        break
                    columns[at], columns[ready] = columns[ready], column
                    ready += 1
        for other in columns[:settled]:
            self.price[other] += distance[other] - least
        changing = _FREE
        while changing != row:
            changing = before[column]
            self.row_of[column] = changing
            self.column_of[changing], column = column, self.column_of[changing]

    def _reduced(self, row: int) -> list[int]:
        return [cost - price for cost, price in zip(self.cost[row], self.price, strict=True)]

    def _two_cheapest(self, row: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Reduced cost and column; of equal ones the later column is the cheapest."""
        reduced = self._reduced(row)
        least, second = (reduced[0], 0), None
        for column, cost in enumerate(reduced[1:], 1):
            if second is None or cost < second[0]:
                if least[0] < cost:
                    second = (cost, column)
                else:
                    least, second = (cost, column), least
        return least, second or least

    def _pair(self, row: int, column: int) -> None:
        self.column_of[row] = column
        self.row_of[column] = row
