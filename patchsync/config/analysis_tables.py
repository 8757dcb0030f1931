"""The tables of `[analysis]`: who finds the revisions of a patch, and when two patches are one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from patchsync.config.tables import Table

Engine = Literal["builtin", "pasta", "none"]
Share = Annotated[float, Field(ge=0, le=1)]
# PaStA's projects switch a limit off by setting it above what a rating can be.
Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ThresholdsTable(Table):
    """`[analysis.thresholds]`: what is set here goes before PaStA's own configuration."""

    autoaccept: Limit | None = Field(default=None, description="AUTOACCEPT_THRESHOLD")
    interactive: Limit | None = Field(default=None, description="INTERACTIVE_THRESHOLD")
    diff_lines_ratio: Share | None = None
    heading: Share | None = Field(default=None, description="HEADING_THRESHOLD")
    filename: Share | None = Field(default=None, description="FILENAME_THRESHOLD")
    message_diff_weight: Share | None = None
    author_date_interval: int | None = Field(default=None, ge=0, description="days; 0: no limit")


class AnalysisTable(Table):
    """`[analysis]`: the engine and what it works with; paths as `Config.absolute` takes them."""

    engine: Engine = "builtin"
    pasta_root: str = Field(default="", description="PaStA's checkout")
    pasta_project: str = Field(default="", description="the name of the project there")
    pasta_python: str = Field(default="", description="empty: as PaStA's own first line says")
    pasta_seconds: int = Field(default=14_400, ge=1, description="time limit of one run of PaStA")
    repo: str = Field(default="", description="a git repository; empty: no upstream commits")
    upstream: str = Field(default="", description="range of commits; empty: PaStA's UPSTREAM")
    upstream_blacklist: str = Field(default="", description="file of commits to leave out")
    false_positives: str = Field(default="", description="folder; empty: where PaStA has it")
    thresholds: ThresholdsTable = ThresholdsTable()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.engine == "pasta":
            for key in ("pasta_root", "pasta_project"):
                if not getattr(self, key):
                    raise ValueError(f'has engine = "pasta", which needs [analysis] {key}')
        if bool(self.pasta_root) != bool(self.pasta_project):
            raise ValueError("has one of pasta_root and pasta_project; set both or none")
        for key in ("upstream", "upstream_blacklist"):
            if getattr(self, key) and not self.repo:
                raise ValueError(f"has {key}, which needs [analysis] repo")
        return self
