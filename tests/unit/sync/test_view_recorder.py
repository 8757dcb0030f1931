"""What a list shows is kept beside the store of its project, whoever read it."""

from __future__ import annotations

import json
from pathlib import Path

from patchsync.config import load
from patchsync.patchwork.schemas import PATCH_ENTRIES
from patchsync.store.patch_views import PatchViews
from patchsync.sync.projects import place_project, settle
from patchsync.sync.view_recorder import ViewRecorder


def test_a_list_with_the_address_of_its_archive(tmp_path: Path) -> None:
    """Of a project that is in the store; of another one nothing is kept."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nproject_ids = [1, 2]\n'
    )
    config = load(file)
    project = place_project(config, config.projects[0], 1, "linux", "list@example.org")
    settle(config, project)
    recorder = ViewRecorder(config)
    for number in (1, 2):
        entry = {
            "id": number,
            "msgid": "<5@example.org>",
            "mbox": "/mbox/",
            "series": [],
            "state": "new",
            "project": {
                "id": number,
                "link_name": "linux",
                "list_archive_url_format": f"https://lists.example.org/{number}/{{}}",
            },
        }
        recorder(PATCH_ENTRIES.parse(json.dumps([entry]).encode()), 5.0)
    with PatchViews(project.paths) as views:
        assert views.archive_format == "https://lists.example.org/1/{}"
        assert [view.state for view in views.of([1, 2]).values()] == ["new"]
