"""Mails that somebody made up to keep whoever reads them busy: a kind for each way known to us."""

from __future__ import annotations

import base64
from collections.abc import Iterator

FIRST_LINES = b"From patchwork Sat Nov 21 00:00:00 2026\nX-Patchwork-Id: 1\n"
# A patch, small and whole.
DIFF = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"

# Headers that somebody reads the inside of.
_READ = ("Message-Id", "Subject", "From", "Date", "Content-Type", "Content-Transfer-Encoding")
# Of which a header is made, over and over.
_UNITS = (
    *("<", ">", '"', ";", "(", ")", "=", "?", ",", ":", "@", "\\", "[", "]", " ", "\t", "\n ", "1"),
    *(
        '";',
        "a;",
        "<>",
        "=?",
        "=?a?q?",
        "=?a?q?b",
        "=?a?q? ",
        "=?a?q?b?=",
        "=?utf-8?b?",
        "=?punycode?q?a=2D?=",
        "(a",
        "\\(",
        "1,2 ",
    ),
    *(
        ";a*{n}*=b",
        "; a*{n}=b",
        ';a="b;"',
        "\xff",
        "<a@b>,",
        '"a" <',
        "<@a,",
        "a.",
        "1:",
        "--",
        "\r\n ",
    ),
)


def hostile_mails(size: int) -> Iterator[tuple[str, bytes]]:
    """Mails of about `size` bytes, each with the name of its kind."""
    for name in _READ:
        for unit in _UNITS:
            yield f"{name}: {unit!r} repeated", _mail(DIFF, **{name: _repeated(unit, size)})
            if name == "Content-Type":
                value = 'text/plain; a="' + _repeated(unit, size)
                yield f'{name}: text/plain; a=" and {unit!r} repeated', _mail(DIFF, **{name: value})
    for unit in (
        "From patchwork Sat Nov 21 00:00:00 2026\n",
        FIRST_LINES.decode(),
        "Message-Id: <",
        "a:\n",
        "a: b\n",
        "References: <a@b>\n",
        "Received: (a\n",
        'Content-Type: text/plain; a="\n',
        "X-Patchwork-Id:",
        "From: a\n",
        "\n ",
    ):
        yield f"headers: {unit!r}", _mail(DIFF, {}, _repeated(unit, size).encode() + b"\n")
        yield f"parts: {unit!r}", _multipart(b"--b\n" + unit.encode() + b"\n", size)
        yield f"body: {unit!r}", _mail(_repeated(unit, size).encode())
    yield from _nested(size)
    for encoding in ("base64", "quoted-printable", "x-uuencode", "7bit", "a"):
        for unit in (
            "=",
            "A",
            "=A",
            "=\n",
            "A\n",
            "\n",
            "=00",
            "\xff",
            "begin 644 a\n",
            "M\n",
            "\r",
            " ",
            "-",
            "--b\n",
        ):
            mail = _mail(
                _repeated(unit, size).encode("latin-1"), **{"Content-Transfer-Encoding": encoding}
            )
            yield f"{encoding} body: {unit!r}", mail
    for charset in (
        "utf-8",
        "utf-7",
        "utf-16",
        "punycode",
        "idna",
        "unicode_escape",
        "iso-2022-jp",
        "iso-8859-3",
        "gb2312",
        "big5",
        "euc-jp",
        "koi8-r",
        "x" * 3000,
        "hex",
        "zlib",
        "rot13",
        "undefined",
    ):
        for unit in ("\xff", "a.", "\\", "a", "+", "\x1b$B", "\x80-"):
            mail = _mail(
                _repeated(unit, size).encode("latin-1"),
                **{"Content-Type": f"text/plain; charset={charset}"},
            )
            yield f"charset {charset[:20]}: {unit!r}", mail
    # Nothing of it is ASCII, decoded.
    packed = _repeated("gICA", size).encode() + b"\xff"
    for charset in ("punycode", "!Punycode", "a; charset*0=puny; charset*1=code"):
        fields = {
            "Content-Type": f"text/plain; charset={charset}",
            "Content-Transfer-Encoding": "base64",
        }
        yield f"body in {charset}", _mail(packed, fields)
    for unit in (
        "--- a/f\n",
        "--- a/f\n+++ b/f\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n",
        "similarity index 1%\n",
        "similarity index 100%\n",
        "@@ -1 +1 @@\n",
        "@@ -1 +1 @@ {n}\n-a\n+b\n",
        "--- a/{n}\n+++ b/{n}\n@@ -1 +1 @@\n-a\n+b\n",
        "diff ",
        "diff --git a b\n",
        "Index: ",
        "---",
        "--- ",
        "\n",
        "/",
        "a:",
        "commit ",
        "pick",
        "pick abcdef0\n",
        "upstream ",
        "abcdef0 ",
        "Link: ",
        "Link\t",
        "@@ -",
        "@@ -1,1",
        "[",
        "]",
        "revert ",
        "+",
        "-a\n",
        "\x0c",
        "*** 1,2 *",
        "1",
    ):
        body = _repeated(unit, size).encode()
        yield f"message: {unit!r}", _mail(body + b"\n" + DIFF)
        yield f"diff: {unit!r}", _mail(DIFF + body)
        yield f"diff begins: {unit!r}", _mail(b"diff --git a/f b/f\n" + body)
        yield f"hunk: {unit!r}", _mail(b"--- a/f\n+++ b/f\n@@ -1,9999999 +1,9999999 @@\n" + body)
        yield (
            f"subject: {unit!r}",
            _mail(DIFF, Subject="[PATCH] " + _repeated(unit.replace("\n", " "), size)),
        )


def _nested(size: int) -> Iterator[tuple[str, bytes]]:
    """Parts in parts, and parts in a row."""
    lines = b"\n" * (size // 2)
    for depth in (5, 20, 200, size // 70):
        for tail, what in ((lines, "lines"), (DIFF, "diff")):
            heads = b"".join(
                b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
                for n in range(depth)
            )
            yield f"{depth} deep, {what}", _mail(b"", {}, heads + b"\n" + tail)
    for boundary in (b"b", b"b" * (size // 10), b"b" * 2000):
        head = b"Content-Type: multipart/mixed; boundary=" + boundary + b"\n\n"
        for line in (
            b"--" + boundary + b"\n",
            b"--" + boundary[:-1] + b"a\n",
            b"--" + boundary + b" " * 100 + b"a\n",
            b"--" + boundary + b"\n\na\n",
        ):
            yield (
                f"boundary of {len(boundary)}, {line[-9:]!r}",
                _mail(b"", {}, head + line * (size // len(line))),
            )
    for inner in (
        b"Content-Type: message/rfc822\n\n",
        b"Content-Type: message/delivery-status\n\n",
        b"Content-Type: multipart/digest; boundary=b\n\n--b\n\n",
    ):
        yield f"rows of {inner!r}", _mail(b"", {}, inner * (size // len(inner)))
        yield f"parts of {inner!r}", _multipart(b"--b\n" + inner, size)
    yield (
        "delivery status",
        _mail(b"", {}, b"Content-Type: message/delivery-status\n\n" + b"a: b\n\n" * (size // 6)),
    )
    for length in (100, 1000, 2000, 4000):
        part = (
            b'--b\nContent-Type: multipart/mixed; boundary="'
            + b"a" * (length // 2)
            + b'"; a="'
            + b";" * (length // 2)
            + b"\n\n"
        )
        yield f"parts with parameters of {length}", _multipart(part, size)
    text = b"From: a\nContent-Type: multipart/mixed; boundary=c\n\n" + b"--c\n\n" * (size // 5)
    yield "an attached mail of parts", _multipart(b"--b\n\n" + text, 1)
    packed = base64.encodebytes(text)
    yield (
        "an attached mail of parts, base64",
        _multipart(b"--b\nContent-Transfer-Encoding: base64\n\n" + packed, 1),
    )
    small = b'--b\n\nFrom: a\nContent-Type: text/plain; a="' + b";" * 2000 + b"\n\n"
    yield "attached mails with parameters", _multipart(small, size)


def _repeated(unit: str, size: int) -> str:
    if "{n}" in unit:
        return "".join(unit.replace("{n}", str(n)) for n in range(size // (len(unit) + 3)))
    return unit * max(1, size // len(unit))


def _multipart(part: bytes, size: int) -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=b\n\n"
    return _mail(b"", {}, head + part * max(1, size // len(part)))


def _mail(
    body: bytes, headers: dict[str, str] | None = None, rest: bytes = b"", **named: str
) -> bytes:
    """A mail as Patchwork renders it; `rest`: of its headers, then perhaps an empty line."""
    known = {
        "Message-Id": "<a@b>",
        "Subject": "[PATCH] a",
        "From": "a <a@b>",
        "Date": "Sat, 21 Nov 2026 00:00:00 +0000",
    }
    fields = known | (headers or {}) | named
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items()).encode("latin-1")
    return FIRST_LINES + lines + (rest or b"\n") + body + b"\n"
