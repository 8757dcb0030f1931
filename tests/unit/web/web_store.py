"""A store with mails as somebody wrote them, PaStA's groups, and the catalog of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import formatdate

from patchsync.config import Config
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.revisions.catch_up import catch_up
from patchsync.store.identity import Origin, claim
from patchsync.store.layout import ContainerPaths
from patchsync.store.patch_views import PatchViews
from patchsync.store.writer import StoreWriter
from tests.unit.store.store_fakes import fake_mail

BEGAN = 1_780_000_000  # seconds; in May 2026
DAY = 86400
DIFF = """\
--- a/{file}
+++ b/{file}
@@ -1,3 +1,3 @@
 one
-two
+{new}
 three
"""


def patch_mail(
    message_id: str,
    *,
    subject: str = "[PATCH] topic",
    author: str = "A U Thor <a@example.org>",
    message: str = "Why it is done.",
    file: str = "file.c",
    new: str = "TWO",
    day: int = 0,
    headers: str = "",
) -> bytes:
    """A mail with a patch."""
    return (
        f"From: {author}\nSubject: {subject}\nMessage-Id: {message_id}\n{headers}"
        f"Date: {formatdate(BEGAN + day * DAY)}\n"
        'Content-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: 8bit\n\n'
        f"{message}\n---\n{DIFF.format(file=file, new=new)}-- \n2.40.0\n"
    ).encode()


@dataclass
class WebStore:
    """The store of a configuration's project `sample`, number 1."""

    config: Config
    _ids: dict[str, int] = field(default_factory=dict)

    @property
    def paths(self) -> ContainerPaths:
        return ContainerPaths(
            d_mbox=self.config.d_mbox,
            listaddr="list@example.org",
            project_id=1,
            layout=self.config.store.layout,
        )

    def add(self, **mails: bytes | tuple[str, bytes]) -> None:
        """Store mails; each by its message-id, which is `<NAME@x>` where no other is given."""
        batch = []
        for name, mail in mails.items():
            message_id, content = (f"<{name}@x>", mail) if isinstance(mail, bytes) else mail
            self._ids[message_id] = number = len(self._ids) + 1
            batch.append(
                fake_mail(number, message_id=message_id, date="2026/05/28", content=content)
            )
        origin = Origin(
            url=self.config.base_url,
            project_id=1,
            link_name="sample",
            list_email="list@example.org",
        )
        claim(self.paths, origin)
        with StoreWriter(self.paths) as writer:
            writer.apply(FetchResult(mails=tuple(batch)))

    def group(self, *groups: Sequence[str]) -> None:
        """Write patch-groups; all others are alone."""
        together = {name for group in groups for name in group}
        alone = [[name] for name in self._ids if name not in together]
        lines = [" ".join(group) for group in [*groups, *alone]]
        self.config.patch_groups.parent.mkdir(parents=True, exist_ok=True)
        self.config.patch_groups.write_text("".join(f"{line}\n" for line in lines))

    def show(self, message_id: str, seen_at: float, **shown: object) -> None:
        """Have seen a patch in a list of Patchwork."""
        view = ShownPatch(patch_id=self._ids[message_id], **shown)  # type: ignore[arg-type]
        with PatchViews(self.paths) as views:
            views.record([view], seen_at)

    def catch_up(self) -> None:
        """Bring the catalog up to date."""
        assert catch_up(self.config)
