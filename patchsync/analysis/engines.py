"""Which engine brings patch-groups up to date."""

from __future__ import annotations

from patchsync.analysis.builtin.engine import BuiltinEngine
from patchsync.analysis.engine import Engine
from patchsync.analysis.pasta.engine import PastaEngine
from patchsync.config import Config


def open_engine(config: Config, *, overwrite: bool = False, rebuild: bool = False) -> Engine | None:
    """The engine that `[analysis] engine` names; None where it is "none".

    `overwrite`: also a patch-groups that somebody else wrote; `rebuild`: with nothing kept from
    before. Both concern the builtin one: PaStA goes on from what it finds.

    Raises:
        ConfigError: the configuration does not let it work.
    """
    match config.analysis.engine:
        case "builtin":
            return BuiltinEngine(config, overwrite=overwrite, rebuild=rebuild)
        case "pasta":
            return PastaEngine(config)
    return None
