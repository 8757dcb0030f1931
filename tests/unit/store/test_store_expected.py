"""What an import will bring counts while it is under way."""

from __future__ import annotations

from array import array
from pathlib import Path

from patchsync.store.expected import expect, expected
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import store_lock


def test_it_counts_while_the_lock_is_held(tmp_path: Path) -> None:
    """An import that was killed brings nothing: what it left is fetched like anything else."""
    paths = ContainerPaths(d_mbox=tmp_path, listaddr="list@example.org", project_id=1)
    assert not expected(paths)
    with store_lock(paths.import_lock, wait=0):
        assert not expected(paths)
        expect(paths, array("q", [3, 5, 2**40]))
        assert list(expected(paths)) == [3, 5, 2**40]
        with paths.expected.open("ab") as file:
            file.write(b"torn")
        assert list(expected(paths)) == [3, 5, 2**40]
    assert not expected(paths)
