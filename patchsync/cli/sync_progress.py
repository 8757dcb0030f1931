"""How far each project is: a bar on a terminal, a plain line elsewhere."""

from __future__ import annotations

from rich import progress as columns

from patchsync.cli.bars import Bars
from patchsync.cli.output import echo
from patchsync.patchwork.foreign_text import visible
from patchsync.sync.driver import Driver


class SyncProgress(Bars):
    """Shows how far each project is; a context."""

    def __init__(self, drivers: list[Driver]) -> None:
        super().__init__(
            columns.BarColumn(),
            columns.MofNCompleteColumn(),
            columns.TextColumn("{task.fields[doing]}", markup=False),
            columns.TimeElapsedColumn(),
        )
        # The trouble of each that was shown last
        self._told: dict[columns.TaskID, str | None] = {}
        self._rows = {
            self.progress.add_task(driver.key, total=None, doing=""): driver for driver in drivers
        }

    def update(self) -> None:
        """Show how far each is now, and at once what is in its way."""
        lines = self.line_is_due()
        for row, driver in self._rows.items():
            if driver.outcome is None and driver.trouble not in (None, self._told.get(row)):
                self.progress.console.print(
                    visible(f"{driver.name}: {driver.trouble}"),
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
            self._told[row] = driver.trouble
            if self.on_terminal:
                self.progress.update(
                    row,
                    description=visible(driver.name),
                    completed=driver.known,
                    total=driver.count,
                    doing=visible(driver.doing),
                )
            elif lines and driver.outcome is None:
                total = "?" if driver.count is None else driver.count
                echo(f"{driver.name}: {driver.known} of {total} patches, {driver.doing}")
