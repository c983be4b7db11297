"""What identifies a media object, and what of its URI may be kept: never a password, never a signature."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Query parameters that sign a URL rather than name a resource (S3, CloudFront, Google, Azure).
_SIGNATURE = re.compile(
    r"^(x-amz-.*|x-goog-.*|signature|expires|awsaccesskeyid|googleaccessid|key-pair-id|policy|sig|se|sp|sv|sr|st|spr)$",
    re.IGNORECASE,
)


def canonical_uri(uri: str) -> str:
    """The URI that identifies a media object: no user, no password, no signature.

    Only http(s) URIs have a query; an S3 key or a file name may hold any character.

    >>> canonical_uri("https://u:p@Example.org/a.mp4?v=2&X-Amz-Signature=s")
    'https://example.org/a.mp4?v=2'
    """
    if uri.startswith(("s3://", "/")):  # as nearly all do: an archive has millions
        return uri
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return uri
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if not _SIGNATURE.match(k)])
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, query, ""))


def stored_uri(uri: str) -> str:
    """The URI as tables show it: canonical and without any query."""
    parts = urlsplit(canonical_uri(uri))
    return uri if parts.scheme not in ("http", "https") else urlunsplit((*parts[:3], "", ""))


def media_id(uri: str) -> str:
    """Identity of a media object: 32 hex digits of the SHA-256 of its canonical URI."""
    return hashlib.sha256(canonical_uri(uri).encode("utf-8", "surrogatepass")).hexdigest()[:32]
