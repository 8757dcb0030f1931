"""When two patches are one: PaStA's thresholds, by its names for them."""

from __future__ import annotations

from typing import NamedTuple


class Thresholds(NamedTuple):
    """Shares are from 0 to 1; the defaults are what PaStA's own projects use for mailing lists."""

    # A pair rated at this or above is accepted (AUTOACCEPT_THRESHOLD) ...
    autoaccept: float = 0.82
    # ... and between this and that a person decides (INTERACTIVE_THRESHOLD).
    interactive: float = 1.1
    # Lines of the shorter diff to those of the longer one, at least.
    diff_lines_ratio: float = 0.4
    # Similarity of the headings of two hunks, and of two file names, at least.
    heading: float = 1.0
    filename: float = 1.0
    # The message's share in the rating; the diff has the rest.
    message_diff_weight: float = 0.3
    # Days between the author dates, less than that; 0 is without limit.
    author_date_interval: int = 0
