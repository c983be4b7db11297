"""Media and lakes in S3 and whatever speaks its protocol.

Endpoint, region and credentials come from boto3's own chain (AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID,
profiles, instance roles); DuckDB is given the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError, ParamValidationError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import HTTPError

from pipeline.errors import MediaError, StoreError
from pipeline.model import MediaObject
from pipeline.store.base import CHUNK_BYTES, SIDECAR_BYTES, LocalCopy, Ranges, Watch, digest, unwatched
from pipeline.store.pages import pages
from pipeline.store.parts import PART_BYTES, fetch_parts
from pipeline.store.ranges import ObjectRanges, Sink, asked_for, check_answer, pour
from pipeline.uris import stored_uri

if TYPE_CHECKING:
    import duckdb

_CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role in use"
_MISSING = {"NoSuchKey", "404"}
_DENIED = {"AccessDenied", "403", "Forbidden"}
_REFUSED = _DENIED | {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_MEDIA_CODES = dict.fromkeys(_MISSING, "not_found") | dict.fromkeys(("PreconditionFailed", "412"), "object_changed")
_MEDIA_CODES |= dict.fromkeys(_REFUSED, "access_denied")
_MEDIA_CODES |= dict.fromkeys(("InvalidRange", "416"), "object_changed")  # it has become shorter than listed

_patiently = retry(
    # the body broke off; requests retry by themselves
    retry=retry_if_exception_type((HTTPClientError, HTTPError, IncompleteReadError)),
    stop=stop_after_attempt(4),
    wait=wait_random_exponential(multiplier=0.25, max=8),
    reraise=True,
)


class ChecksumMismatch(HTTPError):
    """These aren't the bytes that were put there."""


class S3Store:
    """Objects by s3://bucket/key. One client, shared by threads."""

    def __init__(self, sources: tuple[str, ...] = ()) -> None:  # noqa: ARG002 (a key says all there is to know)
        try:
            self._session = boto3.session.Session()
            self._client = self._session.client(
                "s3",
                region_name=self._session.region_name or "us-east-1",
                config=Config(
                    retries={"mode": "standard", "max_attempts": 5},
                    connect_timeout=10,
                    read_timeout=60,
                    max_pool_connections=64,
                    # asks for no checksum that servers other than AWS can't give
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        except BotoCoreError as error:
            raise StoreError(
                f"S3 can't be set up: {error} (check AWS_PROFILE, AWS_DEFAULT_REGION and ~/.aws/config)"
            ) from error
        except ValueError:  # its text shows the endpoint, password and all
            raise StoreError("S3's endpoint is no URL: set AWS_ENDPOINT_URL_S3 to https://host:port") from None

    def list(self, source: str) -> Iterator[MediaObject]:
        """Keys that begin with the URI's key, as S3's own prefixes do; folder markers (`a/`) are left out."""
        bucket, prefix = _split(source)
        with self._reaching(source), closing(pages(self._client, bucket, prefix)) as found:
            for item in chain.from_iterable(found):
                if not item["Key"].endswith("/"):
                    yield MediaObject(
                        f"s3://{bucket}/{item['Key']}", item["ETag"].strip('"'), item["Size"], item["LastModified"]
                    )

    def fetch(self, media: MediaObject, folder: Path, watch: Watch = unwatched) -> LocalCopy:
        path = folder / f"{media.media_id}{media.suffix}"
        with _reading():
            if media.size_bytes > PART_BYTES:
                content_id, metadata = fetch_parts(partial(self._range, media), media.size_bytes, path, watch)
            else:
                content_id, metadata = self._download(media, path, watch)
        if path.stat().st_size != media.size_bytes:
            raise MediaError("unreadable", f"{path.stat().st_size} of {media.size_bytes} bytes")
        return LocalCopy(path, content_id, media.size_bytes, metadata)

    @_patiently
    def _download(self, media: MediaObject, path: Path, watch: Watch) -> tuple[str, dict[str, str]]:
        """Stream one version of an object into a file; returns its SHA-256 and its user metadata."""
        bucket, key = _split(media.uri)
        answer = self._client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{media.etag}"')
        body = answer["Body"]
        with body, path.open("wb") as file:
            content_id, _ = digest(_checked(body.iter_chunks(CHUNK_BYTES), answer), watch, file)
        return content_id, _metadata(answer)

    def ranges(self, media: MediaObject, watch: Watch = unwatched) -> Ranges | None:
        def source(start: int, stop: int, sink: Sink) -> dict[str, str]:
            with _reading():
                return self._range(media, start, stop, sink)

        return ObjectRanges(media.size_bytes, source, watch) if media.size_bytes else None

    @_patiently
    def _range(self, media: MediaObject, start: int, stop: int, sink: Sink) -> dict[str, str]:
        """Give a range of one version of an object to the sink; returns its user metadata."""
        bucket, key = _split(media.uri)
        answer = self._client.get_object(
            Bucket=bucket, Key=key, IfMatch=f'"{media.etag}"', Range=asked_for(start, stop)
        )
        body = answer["Body"]
        with body:  # unread or not, its connection is given back or closed
            if answer["ETag"].strip('"') != media.etag:  # of a server that knows no If-Match
                raise MediaError("object_changed")
            status = answer["ResponseMetadata"]["HTTPStatusCode"]
            check_answer(status, answer.get("ContentRange"), start, stop, media.size_bytes)
            pour(body.iter_chunks(CHUNK_BYTES), start, stop, sink)
        return _metadata(answer)

    def beside(self, media: MediaObject, ending: str) -> bytes | None:
        """AWS says "access denied" of a key that isn't there to whom no policy lets list the whole bucket (a condition
        on the prefix suffices). The listing of that one key then tells which of the two it is.
        """
        bucket, key = _split(media.uri + ending)
        with _reading():
            try:
                return self._beginning(bucket, key)
            except ClientError as error:
                if _code(error) in _MISSING or (_code(error) in _DENIED and not self._is_listed(bucket, key)):
                    return None
                raise

    @_patiently
    def _beginning(self, bucket: str, key: str) -> bytes:
        body, data = self._client.get_object(Bucket=bucket, Key=key)["Body"], b""
        with body:
            while chunk := body.read(SIDECAR_BYTES - len(data)):  # the empty one at the end says whether all came
                data += chunk
        return data

    def _is_listed(self, bucket: str, key: str) -> bool:
        first = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        return any(item["Key"] == key for item in first)

    def changed(self, media: MediaObject) -> bool:  # noqa: ARG002
        """Never: `fetch` made a copy of one version."""
        return False

    def read(self, uri: str) -> bytes | None:
        bucket, key = _split(uri)
        with self._reaching(uri):
            try:
                return self._whole(bucket, key)
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise

    @_patiently
    def _whole(self, bucket: str, key: str) -> bytes:
        answer = self._client.get_object(Bucket=bucket, Key=key)
        body = answer["Body"]
        with body:
            return b"".join(_checked(body.iter_chunks(CHUNK_BYTES), answer))

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> bool:
        bucket, key = _split(uri)
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        with self._reaching(uri):
            try:
                self._client.put_object(Bucket=bucket, Key=key, Body=data, **condition)
                return True
            except ClientError as error:
                if if_absent and _code(error) in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
                    # what is there may be ours: written by a first try whose answer was lost on the way
                    tries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
                    return bool(tries) and self.read(uri) == data
                raise

    def names(self, prefix: str) -> Iterator[str]:
        return (media.uri for media in self.list(prefix.rstrip("/") + "/"))

    def delete(self, uri: str) -> None:
        bucket, key = _split(uri)
        with self._reaching(uri):
            self._client.delete_object(Bucket=bucket, Key=key)

    def clear(self, prefix: str) -> None:
        for uri in list(self.names(prefix)):
            self.delete(uri)

    def clear_parts(self, prefix: str) -> None:
        """Nothing to do: an object is there once it is whole."""

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        with self._reaching("s3://"):
            credentials = self._session.get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials else None
        if frozen is None:
            raise StoreError(f"no S3 credentials were found: {_CREDENTIALS}")
        endpoint = urlsplit(self._endpoint)
        host = endpoint.hostname or ""
        parameters = {
            "KEY_ID": frozen.access_key,
            "SECRET": frozen.secret_key,
            "REGION": self._client.meta.region_name,
            "ENDPOINT": endpoint.netloc,
            # only AWS's public endpoints promise a name for every bucket
            "URL_STYLE": "vhost" if host.startswith("s3.") and host.endswith(".amazonaws.com") else "path",
        }
        if frozen.token:
            parameters["SESSION_TOKEN"] = frozen.token
        quoted = ", ".join(f"{name} '{value.replace(chr(39), chr(39) * 2)}'" for name, value in parameters.items())
        con.execute(f"CREATE OR REPLACE SECRET shotlog_s3 (TYPE s3, {quoted}, USE_SSL {endpoint.scheme == 'https'})")

    @contextmanager
    def _reaching(self, uri: str) -> Iterator[None]:
        """Turn what boto3 raises for a bucket or an endpoint into a sentence."""
        bucket, _ = _split(uri)
        try:
            yield
        except ClientError as error:
            code = _code(error)
            if code in ("NoSuchBucket", "404"):
                raise StoreError(f"there is no bucket '{bucket}': check the name and the endpoint") from error
            if code in _REFUSED:
                raise StoreError(f"S3 refused access to '{uri}' ({code}): {_CREDENTIALS}") from error
            raise StoreError(f"S3 answered {code} for '{uri}': try again, or look at the server's log") from error
        except ParamValidationError as error:
            raise StoreError(f"'{bucket}' can't be a bucket's name: write s3://bucket/prefix") from error
        except BotoCoreError as error:
            name = type(error).__name__
            if _lacks_credentials(error):
                raise StoreError(f"no S3 credentials were found ({name}): {_CREDENTIALS}") from error
            raise StoreError(
                f"S3 at {self._endpoint} can't be reached ({name}): check AWS_ENDPOINT_URL_S3 and the network"
            ) from error

    @property
    def _endpoint(self) -> str:
        """As it may be shown: without user and password."""
        return stored_uri(self._client.meta.endpoint_url)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what boto3 raises for one object into a code."""
    try:
        yield
    except ClientError as error:
        code = _MEDIA_CODES.get(_code(error), "unreadable")
        raise MediaError(code, _code(error)) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        code = "access_denied" if _lacks_credentials(error) else "unreadable"
        raise MediaError(code, type(error).__name__) from error


def _checked(chunks: Iterable[bytes], answer: Any) -> Iterator[bytes]:
    """An object's bytes, held to its ETag where that is their MD5: put in one part, not encrypted with a key of KMS or
    the caller's. Raises ChecksumMismatch, after the last of them."""
    etag, encryption = answer.get("ETag", "").strip('"'), answer.get("ServerSideEncryption", "AES256")
    is_md5 = re.fullmatch("[0-9a-f]{32}", etag) and encryption == "AES256" and "SSECustomerAlgorithm" not in answer
    md5 = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        if is_md5:
            md5.update(chunk)
        yield chunk
    if is_md5 and md5.hexdigest() != etag:
        raise ChecksumMismatch


def _metadata(answer: Any) -> dict[str, str]:
    return {name.lower(): _decoded(value) for name, value in answer["Metadata"].items()}


def _decoded(value: str) -> str:
    """User metadata as it was written. What isn't ASCII comes by RFC 2047 from AWS, and as it was sent (which boto3
    reads as Latin-1) from SeaweedFS; `%C3%9C` stays that, since S3 itself encodes nothing so."""
    with suppress(ValueError):
        value = value.encode("latin-1").decode("utf-8")
    with suppress(ValueError, LookupError, HeaderParseError):
        return str(make_header(decode_header(value))) if "=?" in value else value
    return value


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _lacks_credentials(error: Exception) -> bool:
    """botocore has a dozen of these, and no class above them."""
    return any(word in type(error).__name__ for word in ("Credential", "Token"))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
