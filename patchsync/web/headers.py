"""The headers of every answer: what a browser may do with a page, which is next to nothing."""

from __future__ import annotations

# No script, no frame, nothing of others: only our style and pictures, and forms that ask us.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# A drawing has its style in itself, and is opened by itself too.
DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"

POLICY = "Content-Security-Policy"
SECURITY_HEADERS = {
    POLICY: PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "patchsync",
}
# Kept by a browser, but asked for again each time: mostly the answer is 304.
CACHE_CONTROL = "no-cache"
