"""Real patches of a list, as its Patchwork has them."""

from __future__ import annotations

import re
import tarfile
from itertools import pairwise
from random import Random

from patchsync.range_diff.compare import compare
from patchsync.range_diff.patch_text import PatchText, read_mail_text
from tests.support.real_mail import ARCHIVE, JAILHOUSE, need_real_mail

_GROUPS = 60


def real_mails() -> dict[str, bytes]:
    """All of the archive, by message-id without brackets."""
    with tarfile.open(ARCHIVE) as tar:
        file = tar.extractfile(next(each for each in tar if each.name.endswith(".mbox")))
        assert file
        mbox = file.read()
    starts = [found.start() for found in re.finditer(rb"^From patchwork ", mbox, re.MULTILINE)]
    mails = {}
    for begin, end in zip(starts, [*starts[1:], len(mbox)], strict=True):
        raw = mbox[begin:end]
        if name := re.search(rb"^Message-Id: +<(.*)>", raw, re.MULTILINE | re.IGNORECASE):
            mails[name[1].decode()] = raw
    return mails


def expect_difference(left: PatchText, right: PatchText) -> None:
    """What is shown is of those two: their own lines, and as many more as there are more."""
    lines = [line for line in compare(left, right) if line.sign != "@"]
    old, new = (patch.text.decode(errors="replace").split("\n")[:-1] for patch in (left, right))
    only_old, only_new = (
        [line.text for line in lines if line.sign in (" ", sign)] for sign in ("-", "+")
    )
    # Both in order: an iterator that was searched goes on behind what it found.
    for shown, text in ((only_old, iter(old)), (only_new, iter(new))):
        assert all(line in text for line in shown)
    assert len(only_new) - len(only_old) == len(new) - len(old)


def test_revisions_of_a_real_list(random: Random) -> None:
    """Of groups by chance: each revision against the one before it."""
    need_real_mail()
    mails = real_mails()
    groups = [
        [name.strip("<>") for name in line.split(" ") if name.strip("<>") in mails]
        for line in (JAILHOUSE / "patch-groups").read_text().splitlines()
    ]
    groups = [group for group in groups if len(group) > 1]
    assert len(groups) > _GROUPS
    for group in random.sample(groups, _GROUPS):
        texts = [read_mail_text([mails[name]]) for name in group]
        for name, text in zip(group, texts, strict=True):
            assert text.name == name
            assert text.diff_at, name
            assert re.match(rb" ## Metadata ##\nAuthor: \S.* <\S+@\S+>\n\n", text.text)
        for left, right in pairwise(texts):
            expect_difference(left, right)
