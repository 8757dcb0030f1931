"""The configuration: one TOML file and the environment become one frozen object.

The file is patchsync's own, or PaStA's project config with its `[mbox.patchwork]` table, in either
spelling that table had: `uri, token, project_ids, initial_archives` and `url, page_size, projects`.
Each key can also stand in the environment: `PATCHSYNC_`, then the tables and the key joined by two
underscores (`PATCHSYNC_REDIS__URL`); the token also as `PATCHWORK_TOKEN`. The environment wins.
"""

from patchsync.config.analysis_tables import AnalysisTable, ThresholdsTable
from patchsync.config.loading import DEFAULT_FILE, FILE_VARIABLE, load
from patchsync.config.run_dir import make_run_dir
from patchsync.config.settings import Config
from patchsync.config.tables import TOKEN_VARIABLE, TOKEN_VARIABLES, ProjectTable

__all__ = [
    "DEFAULT_FILE",
    "FILE_VARIABLE",
    "TOKEN_VARIABLE",
    "TOKEN_VARIABLES",
    "AnalysisTable",
    "Config",
    "ProjectTable",
    "ThresholdsTable",
    "load",
    "make_run_dir",
]
