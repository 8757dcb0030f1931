"""A mail is read as `git am` reads it: it says what the commit says that git makes of it."""

from __future__ import annotations

import base64
import quopri
import shutil
from collections.abc import Callable

import pygit2
import pytest

from patchsync.range_diff.patch_text import PatchText, read_commit_text, read_mail_text
from tests.support.git_program import Git, need_git

DIFF = """\
diff --git a/file.c b/file.c
index 2cbf5fb..ca4a3cc 100644
--- a/file.c
+++ b/file.c
@@ -6,7 +6,8 @@ int begin(void)
 \tline 3
 \tline 4
 \tline 5
-\tline 6
+\tline six, and more of it
+\tgrüße

 \tline 8
 \tline 9
-- \n2.39.5

"""
HEAD = "From: A U Thor <author@example.org>\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"
SUBJECT = "Subject: [PATCH v2 3/7] Change it\n"
WHY = "\nBecause of\tit. \n\n\n  It is  better.\n---\nv2: as told\n\n file.c | 3 ++-\n\n"


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """A repository that the diff applies to."""
    need_git()
    git = Git(tmp_path_factory.mktemp("am") / "repository")
    lines = ["" if number == 7 else f"\tline {number}" for number in range(20)]
    (git.folder / "file.c").write_text("\n".join(["int begin(void)", "{", *lines, "}", ""]))
    git.commit(b"Begin\n")
    git("tag", "begin")
    return git


def as_git(git: Git, raw: bytes) -> PatchText:
    """What `git am` makes of a mail."""
    git("reset", "--quiet", "--hard", "begin")
    shutil.rmtree(git.folder / ".git" / "rebase-apply", ignore_errors=True)
    git("am", "--quiet", "--scissors", "--keep-non-patch", stdin=raw)
    return read_commit_text(pygit2.Repository(git.folder), "HEAD")


def mail(head: str = HEAD + SUBJECT, body: str = WHY + DIFF, mime: str = "8bit") -> bytes:
    """A mail in UTF-8."""
    kind = f"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: {mime}\n"
    return (head + "MIME-Version: 1.0\n" + kind + body).encode()


def quoted_printable() -> bytes:
    """All that is not plain, and the long lines, encoded."""
    return mail(
        body="\n" + quopri.encodestring((WHY[1:] + DIFF).encode()).decode(), mime="quoted-printable"
    )


def in_base64() -> bytes:
    """As mailers send what has long lines."""
    return mail(body="\n" + base64.encodebytes((WHY[1:] + DIFF).encode()).decode(), mime="base64")


def in_latin_1() -> bytes:
    """The message in another charset; the diff stays as it is."""
    body = "\nGrüße.\n---\n" + DIFF.replace("grüße", "none")
    return mail(body=body).decode().replace("UTF-8", "iso-8859-1").encode("latin-1")


def without_charset() -> bytes:
    """Latin-1 that does not say so."""
    return (HEAD + SUBJECT + "\nGrüße.\n---\n" + DIFF.replace("grüße", "none")).encode("latin-1")


def flowed(delsp: bool = False) -> bytes:
    """format=flowed: broken lines end with a space, and a space stands before one."""
    lines = []
    for line in (WHY[1:] + DIFF).split("\n"):
        line = line.rstrip() if line != "-- " else line
        line = " " + line if line.startswith((" ", "From")) else line
        lines.append(line.replace("and more", f"and {' ' if delsp else ''}\nmore"))
    raw = mail(body="\n" + "\n".join(lines)).decode()
    kind = "charset=UTF-8; format=flowed" + ("; delsp=yes" if delsp else "")
    return raw.replace("charset=UTF-8", kind).encode()


def attached() -> bytes:
    """The diff in a part of its own."""
    text = "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n"
    patch = f"Content-Type: text/x-patch; name=a.patch\nContent-Disposition: attachment\n\n{DIFF}"
    kind = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="==="\n'
    return f"{HEAD}{SUBJECT}{kind}\nMIME\n--===\n{text}{WHY}\n--===\n{patch}\n--===--\n".encode()


def with_crlf() -> bytes:
    """Line ends as SMTP has them."""
    return mail().replace(b"\n", b"\r\n")


MAILS: dict[str, Callable[[], bytes]] = {
    "8bit": mail,
    "quoted-printable": quoted_printable,
    "base64": in_base64,
    "latin-1": in_latin_1,
    "no charset": without_charset,
    "flowed": flowed,
    "flowed, delsp": lambda: flowed(delsp=True),
    "attached": attached,
    "no message": lambda: mail(body="\n---\n" + DIFF),
    "no remarks": lambda: mail(body="\nBecause.\n" + DIFF),
    "long subject": lambda: mail(HEAD + SUBJECT[:-1] + " in every\n\tplace  where\n it is\n"),
    "subject encoded": lambda: mail(
        HEAD + "Subject: =?UTF-8?q?[PATCH]_gr=C3=BC?=\n =?UTF-8?b?w59l?= to =?latin1?q?=FC?=\n"
    ),
    "From in the body": lambda: mail(
        body="\nFrom: =?UTF-8?q?J=C3=B6rg?= <j@example.org>\nSubject: Another\n title\n"
        + WHY
        + DIFF
    ),
    "From twice in the body": lambda: mail(
        body="\nFrom: B <bee@example.org>\nFrom: C <sea@example.org>\n" + WHY + DIFF
    ),
    "From in the text": lambda: mail(body="\nBecause.\nFrom: B <b@example.org>\n" + WHY + DIFF),
    "scissors": lambda: mail(
        body="\nFrom: B <bee@example.org>\n\nSee below.\n-- >8 --\nSubject: Cut\n" + WHY + DIFF
    ),
    "no scissors": lambda: mail(body="\nIs 8< a mark?\n>8 cut here, please\n" + WHY + DIFF),
    "quoted name": lambda: mail('From: "Doe, J. \\"X\\"" <j@example.org>\n' + SUBJECT + HEAD[36:]),
    "name in comment": lambda: mail("From: j@example.org (John Doe)\n" + SUBJECT + HEAD[36:]),
    "comment": lambda: mail("From: J (at home) Doe <j@example.org> (x)\n" + SUBJECT + HEAD[36:]),
    "short name": lambda: mail("From: Jo <j@example.org>\n" + SUBJECT + HEAD[36:]),
    "no name": lambda: mail("From: j@example.org\n" + SUBJECT + HEAD[36:]),
    "odd name": lambda: mail("From: j@home <j@example.org>\n" + SUBJECT + HEAD[36:]),
    "encoded name": lambda: mail(
        "From: =?UTF-8?q?J=C3=B6rg=2C_Doe?= <j@example.org>\n" + SUBJECT + HEAD[36:]
    ),
    "CRLF": with_crlf,
    "wide characters before a tab": lambda: mail(body="\n漢字\tx\né\ty\n\nz\t.\n---\n" + DIFF),
    "no folders": lambda: mail(body=WHY + DIFF.replace(" a/", " ").replace(" b/", " ")),
    "other folders": lambda: mail(body=WHY + DIFF.replace(" a/", " i/").replace(" b/", " w/")),
    "without git": lambda: mail(body=WHY + "--- a/" + DIFF.split("--- a/", 1)[1]),
}


@pytest.mark.parametrize("raw", MAILS.values(), ids=MAILS)
def test_a_mail_is_what_git_am_makes_of_it(git: Git, raw: Callable[[], bytes]) -> None:
    """Author, title, message and diff."""
    content = raw()
    # git am does not apply what `-p1` does not strip.
    applied = content
    if b"diff --git file.c" in content:
        applied = mail()
    ours, gits = read_mail_text([content]), as_git(git, applied)
    assert ours.text.decode(errors="replace") == gits.text.decode(errors="replace")
    assert ours.title == gits.title
    assert (ours.diff_at, ours.diff_lines) == (gits.diff_at, gits.diff_lines)


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ("[PATCH] it", "it"),
        ("Re: [list] [RFC PATCH v2 3/7] [media] Re: it", "[media] Re: it"),
        ("[PATCH][RFC] [v3] it", "it"),
        ("[media] it", "it"),
        ("[PATCH 1/2", "[PATCH 1/2"),
        ("[PATCH]", ""),
        ("[" * 3000 + "PATCH] it", "it"),
    ],
)
def test_brackets_behind_patch_are_the_author_s(subject: str, title: str) -> None:
    """`git am` takes all of them, or with --keep-non-patch leaves those of a list too."""
    assert read_mail_text([mail(f"{HEAD}Subject: {subject}\n")]).title == title
