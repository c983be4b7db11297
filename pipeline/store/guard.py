"""What a stranger's URL may lead to: the open internet, and no address inside a network.

A name is resolved once, all its addresses are looked at, and the connection goes to the very address that was looked
at: a name that changes its mind in between (DNS rebinding) gains nothing. A redirect is a request of its own and is
looked at anew.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import httpx

from pipeline.errors import MediaError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolve = Callable[[str, int], list[str]]
"""Host and port → addresses as text. Raises OSError where the name is unknown."""

MAX_REDIRECTS = 3

_NEVER = [  # what Python, in some of its versions, takes for global
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # RFC 6890: protocol assignments, and Oracle's metadata service
        "168.63.129.16/32",  # Azure's; those of other clouds aren't global anyway
        "::/8",  # IPv4 in its mapped, compatible and NAT64 forms (RFC 4291, RFC 6052)
        "fec0::/10",  # RFC 3879: site-local
    )
]
_ISATAP = {0x00005EFE, 0x02005EFE}  # RFC 5214, 6.1: before an IPv4 address in the lower half


def resolve(host: str, port: int) -> list[str]:
    """By the system's resolver, which also reads 127.1, 0x7f.0.0.1 and 2130706433."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_open(address: Address) -> bool:
    """Whether an address is one of the open internet, and stands for no other that isn't."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if any(address in network for network in _NEVER):
        return False
    return all(is_open(inner) for inner in _inside(address))


def _inside(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address leads to, through a tunnel."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner: list[Address | None] = [address.sixtofour, *(address.teredo or ())]
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in inner if one is not None]


@cache
def _trust() -> ssl.SSLContext:
    """Whose certificates count. Reading them takes longer than fetching a picture from nearby."""
    return httpx.create_ssl_context()


class GuardedTransport(httpx.BaseTransport):
    """Sends requests to the open internet only. Raises MediaError address_refused for all else.

    allow: `host:port` of servers inside that may be asked all the same, as they stand in the URL. within_s: an answer
    that hasn't come to its end by then is cut off: a server may send a byte a minute for days.
    """

    def __init__(self, allow: Collection[str] = (), resolve: Resolve = resolve, within_s: float = 120.0) -> None:
        self._allow, self._resolve, self._within_s = frozenset(allow), resolve, within_s
        # connections aren't kept: one to an address was made for one name
        self._inner = httpx.HTTPTransport(verify=_trust(), limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in ("http", "https"):
            raise MediaError("address_refused", f"{url.scheme} is neither http nor https")
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        if f"{host}:{port}" not in self._allow:
            request = _sent_to(self._address(host, port), request)
        limit = _Limit(self._within_s)
        request.extensions["trace"] = limit.connected
        try:
            response = self._inner.handle_request(request)
        except BaseException:
            limit.end()
            limit.check()
            raise
        if response.has_redirect_location:
            limit.end()
            return _without_body(response)
        body = _Body(response.stream, limit)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=body, extensions=response.extensions
        )

    def _address(self, host: str, port: int) -> str:
        try:
            addresses = self._resolve(host.strip("[]"), port)
        except (OSError, UnicodeError) as error:
            raise MediaError("unreadable", "its host is unknown") from error
        # not one may lead inside: which of them is taken would be chance
        if not addresses or not all(is_open(ipaddress.ip_address(address.partition("%")[0])) for address in addresses):
            raise MediaError("address_refused", "the URL leads to an address inside a network")
        return addresses[0]

    def close(self) -> None:
        self._inner.close()


class _Limit:
    """Cuts the connection of one request when its time is up."""

    def __init__(self, within_s: float) -> None:
        self._lock, self._over = threading.Lock(), False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(within_s, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def connected(self, event: str, info: dict[str, Any]) -> None:
        """Hear from httpcore of the connection, and of TLS over it, which is another socket."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
            if self._over:
                self._cut()

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            if self._socket:
                with suppress(OSError):  # closed already
                    # wakes who reads, as closing doesn't; TLS's own way would first take the reader's state away
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raises MediaError where the time was up: what came of it isn't the whole."""
        if self._over:
            raise MediaError("unreadable", f"no whole answer within {self._timer.interval:g} s")

    def end(self) -> None:
        self._timer.cancel()


class _Body(httpx.SyncByteStream):
    """An answer's body, with which its limit ends."""

    def __init__(self, body: Any, limit: _Limit) -> None:
        self._body, self._limit = body, limit

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except httpx.TransportError:
            self._limit.check()
            raise
        self._limit.check()  # a body without a length ends as well where it was cut

    def close(self) -> None:
        self._limit.end()
        self._body.close()


def _without_body(response: httpx.Response) -> httpx.Response:
    """A redirect as its headers tell it: who follows it would read its body whole, however long that is."""
    response.close()
    of_body = ("content-length", "content-encoding", "transfer-encoding")
    headers = [(name, value) for name, value in response.headers.raw if name.decode("latin-1").lower() not in of_body]
    return httpx.Response(response.status_code, headers=headers)


def _sent_to(address: str, request: httpx.Request) -> httpx.Request:
    """The same request to a server of which only the address counts; the name still says whose certificate it needs."""
    name = request.url.host
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # Host among them
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )
