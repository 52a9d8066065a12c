"""Which counts of a window must be withheld so that small groups of people cannot be told.

A table has a row for the site, one for each zone, and one, never told, for people in no zone; columns are the four
classes and their sum. `docs/statistics.md` states the rules in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from common.tally import CLASSES, EVERYWHERE, OUTSIDE

SUM = CLASSES
Cell = tuple[str, int]


class Table:
    """Counts of one window, and what of them may be told.

    Args:
        counts: Row → people by class; rows are `EVERYWHERE`, `OUTSIDE` and zone ids.
        least: Fewest people that may be told of.

    Attributes:
        withheld: Cells that may not be told: row and column.
    """

    def __init__(self, counts: Mapping[str, Sequence[int]], least: int) -> None:
        self._least = least
        full = {EVERYWHERE: [0] * CLASSES, OUTSIDE: [0] * CLASSES} | {row: list(line) for row, line in counts.items()}
        self._value = {(row, col): n for row, line in full.items() for col, n in enumerate([*line, sum(line)])}
        self._rows = list(full)
        self.withheld: set[Cell] = {(OUTSIDE, col) for col in range(SUM + 1)}
        self._withhold_small()
        self._withhold_complements()
        while leaks := self._leaks():
            for leak in leaks:
                self._hide(self._partner(leak))

    def told(self, row: str, col: int) -> int | None:
        """Give a count, or None where it is withheld."""
        return None if (row, col) in self.withheld else self._value[row, col]

    def _small(self, number: int) -> bool:
        return 0 < number < self._least

    def _withhold_small(self) -> None:
        for row in self._rows:
            if self._value[row, SUM] < self._least:
                self._hide((row, SUM))
            for col in range(CLASSES):
                if self._small(self._value[row, col]):
                    self._hide((row, col))

    def _withhold_complements(self) -> None:
        """Hide zones that hold nearly all of the site, so that those who were not there are a small group."""
        for row in self._zones():
            for col in range(SUM, -1, -1):
                rest = self._value[EVERYWHERE, col] - self._value[row, col]
                if self._small(rest) and not {(EVERYWHERE, col), (row, col)} & self.withheld:
                    self._hide((row, col))

    def _hide(self, cell: Cell) -> None:
        row, col = cell
        self.withheld |= {(row, each) for each in range(SUM + 1)} if col == SUM else {cell}

    def _zones(self) -> list[str]:
        return [row for row in self._rows if row not in (EVERYWHERE, OUTSIDE)]

    def _lines(self) -> Iterator[tuple[Cell, list[Cell]]]:
        """Give what anybody can add up: a sum, and the cells that it is made of."""
        for row in self._rows:
            yield (row, SUM), [(row, col) for col in range(CLASSES)]
        parts = [*self._zones(), OUTSIDE]
        for col in range(SUM + 1):
            yield (EVERYWHERE, col), [(row, col) for row in parts]

    def _leaks(self) -> list[Cell]:
        """Find small counts that can be worked out from what is told, and cells behind small sums.

        They are to be stopped together: the site's first, as others may follow from it, then one of each zone.
        """
        unknown = self._still_unknown()
        found = [cell for cell in sorted(self.withheld - unknown) if self._small(self._value[cell])]
        for total, parts in self._lines():
            hidden = [cell for cell in parts if cell in unknown and self._value[cell]]
            if total not in unknown and hidden and self._small(sum(self._value[cell] for cell in hidden)):
                found.append(hidden[0])
        first = {cell[0]: cell for cell in reversed(found)}
        zones = [cell for row, cell in first.items() if row not in (EVERYWHERE, OUTSIDE)]
        return [first[EVERYWHERE]] if EVERYWHERE in first else zones or list(first.values())

    def _still_unknown(self) -> set[Cell]:
        unknown = set(self.withheld)
        lines = [{total, *parts} for total, parts in self._lines()]
        solved = True
        while solved:
            solved = False
            for line in lines:
                open_cells = line & unknown
                if len(open_cells) == 1:
                    unknown -= open_cells
                    solved = True
        return unknown

    def _partner(self, leak: Cell) -> Cell:
        """Choose what else to withhold: rather a class than a whole row, a zone than the site, few people than many."""
        told = [cell for cell in self._value if cell not in self.withheld and self._value[cell]]
        if not told:
            return leak
        near = [cell for cell in told if cell[0] == leak[0] or cell[1] == leak[1]]
        return min(near or told, key=lambda cell: (cell[1] == SUM, cell[0] == EVERYWHERE, self._value[cell], cell))
