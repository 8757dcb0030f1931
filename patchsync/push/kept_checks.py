"""Which checks stay though they would be worded otherwise today: none can be taken back.

The default description once was `revision 3 of 4; earlier: 467, 458`. Where it stands it stays, as
long as it is true but for how many there are, and where it links to a later revision.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from patchsync.push.entries import CheckValue

FORMER_DESCRIPTION = """
{% if total > 1 %}revision {{ number }} of {{ total }}{% endif %}
{% if earlier %}; earlier: {{ earlier[:20] | map(attribute="patch_id") | join(", ") }}{% endif %}
{% if earlier[20:] %} and {{ earlier[20:] | length }} more{% endif %}
{% if total > 1 and commits %}; {% endif %}
{% if commits %}upstream in {{ commits | map("short") | join(", ") }}{% endif %}
""".strip()
_TOTAL = re.compile(r"^(revision \d+) of \d+")


def still_right(
    shown: CheckValue,
    desired: CheckValue,
    former: str | None,
    good_urls: Collection[str] | None,
) -> bool:
    """Whether what is shown says the same as what is desired.

    `former`: what the former default says now; None where the configuration has its own words.
    `good_urls`: to which it may link as well, such as those of all later revisions, to any of which
    a check once linked; None: to any.
    """
    if shown.state != desired.state:
        return False
    if good_urls is not None and shown.target_url not in (desired.target_url, *good_urls):
        return False
    if shown.description == desired.description:
        return True
    return former is not None and _without_total(shown.description) == _without_total(former)


def _without_total(description: str) -> str:
    return _TOTAL.sub(r"\1", description)
