"""A stranger's URL never leads to an address inside a network, in whatever form it is written."""

import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_httpserver import HTTPServer
from werkzeug import Response

from pipeline.errors import MediaError
from pipeline.store import guard
from pipeline.store.guard import MAX_REDIRECTS, GuardedTransport, is_open, resolve

INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.1.2.3",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101::",
    "2001:0:7f00:1::",
    "2600::5efe:127.0.0.1",
    "2600::200:5efe:a9fe:a9fe",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "100::1",
]
OPEN = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2002:101:101::1"]

FORMS = [  # of 127.0.0.1, 169.254.169.254 and 10.0.0.1, as URLs have them
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://user:pass@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1:80/",
    "https://127.0.0.1/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://167772161/",
    "http://10.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_seen_in_every_form(address):
    assert not is_open(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OPEN)
def test_an_open_address_is_open(address):
    assert is_open(ipaddress.ip_address(address))


@contextmanager
def client(**options):
    with httpx.Client(
        transport=GuardedTransport(**options), follow_redirects=True, max_redirects=MAX_REDIRECTS, timeout=5
    ) as opened:
        yield opened


@pytest.mark.parametrize("url", FORMS)
def test_no_form_of_an_address_inside_is_asked(url):
    with client() as asking, pytest.raises((MediaError, httpx.InvalidURL)) as refused:
        asking.get(url)
    if isinstance(refused.value, MediaError):
        assert refused.value.code in ("address_refused", "unreadable")  # some resolvers don't know some forms


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/a", "gopher://example.com/_x", "data:,x"])
def test_no_other_scheme_is_asked(url):
    with client() as asking, pytest.raises((MediaError, httpx.UnsupportedProtocol)):
        asking.get(url)


def port_of(server: HTTPServer) -> int:
    assert server.port
    return server.port


def test_a_name_with_one_address_inside_is_refused():
    def both(_host, _port):
        return ["93.184.216.34", "127.0.0.1"]

    with client(resolve=both) as asking, pytest.raises(MediaError) as refused:
        asking.get("http://tapes.example/a.jpg")
    assert refused.value.code == "address_refused"


def test_a_name_that_changes_its_mind_gains_nothing(httpserver, monkeypatch):
    """DNS rebinding: the first answer is looked at and connected to, and nobody asks a second time."""
    answers, connected = iter([["93.184.216.34"]]), []

    def connect(address, *_args, **_options):
        connected.append(address[0])
        raise OSError("no network here")

    monkeypatch.setattr(socket, "create_connection", connect)
    with client(resolve=lambda _host, _port: next(answers)) as asking, pytest.raises(httpx.ConnectError):
        asking.get(f"http://tapes.example:{port_of(httpserver)}/a.jpg")
    assert connected == ["93.184.216.34"]


def test_a_redirect_inside_is_refused(httpserver):
    httpserver.expect_request("/a").respond_with_data(
        status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}
    )
    with client(allow=[f"localhost:{port_of(httpserver)}"]) as asking, pytest.raises(MediaError) as refused:
        asking.get(httpserver.url_for("/a"))
    assert refused.value.code == "address_refused"


def test_redirects_are_followed_so_far(httpserver):
    for number in range(MAX_REDIRECTS + 1):
        httpserver.expect_request(f"/{number}").respond_with_data(status=302, headers={"Location": f"/{number + 1}"})
    httpserver.expect_request(f"/{MAX_REDIRECTS + 1}").respond_with_data("there")
    with client(allow=[f"localhost:{port_of(httpserver)}"]) as asking:
        assert asking.get(httpserver.url_for("/1")).text == "there"
        with pytest.raises(httpx.TooManyRedirects):
            asking.get(httpserver.url_for("/0"))


def test_an_allowed_server_is_one_host_and_port(httpserver):
    httpserver.expect_request("/a").respond_with_data("there")
    port = port_of(httpserver)
    with client(allow=[f"localhost:{port}"]) as asking:
        assert asking.get(f"http://localhost:{port}/a").text == "there"
        for other in (f"http://127.0.0.1:{port}/a", "http://localhost:1/a"):
            with pytest.raises(MediaError):
                asking.get(other)


def test_the_server_hears_the_name_it_was_asked_by(httpserver, monkeypatch):
    """Where it is connected to was found out before; Host is still the name."""
    httpserver.expect_request("/a").respond_with_handler(lambda request: Response(request.host))
    monkeypatch.setattr("pipeline.store.guard.is_open", lambda _address: True)
    port = port_of(httpserver)
    with client(resolve=lambda _host, _port: ["127.0.0.1"]) as asking:
        assert asking.get(f"http://tapes.example:{port}/a").text == f"tapes.example:{port}"


def test_the_system_reads_what_it_reads():
    assert resolve("127.1", 80) == ["127.0.0.1"]


# ---- servers that mean harm


@contextmanager
def answering(answer, tls=None):
    """A server that answers every connection by `answer(connection)`, over TLS with a context; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=one, args=[connection], daemon=True).start()

        def one(connection):
            with suppress(OSError), tls.wrap_socket(connection, server_side=True) if tls else connection as talking:
                talking.recv(4096)
                answer(talking)

        threading.Thread(target=serve, daemon=True).start()
        port = listening.getsockname()[1]
        try:
            yield port
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def test_a_redirect_without_end_is_followed_by_its_headers_alone():
    asked = []

    def answer(connection):
        asked.append(1)
        if len(asked) > 1:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/there\r\n".encode())
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    with answering(answer) as port, GuardedTransport([f"127.0.0.1:{port}"]) as guard:
        with httpx.Client(transport=guard, follow_redirects=True, timeout=30) as client:
            assert client.get(f"http://127.0.0.1:{port}/").text == "ok"


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"])
def test_who_sends_a_byte_now_and_then_is_cut_off(begun):
    waiting = threading.Event()

    def answer(connection):
        connection.sendall(begun)
        while not waiting.wait(0.05):
            connection.sendall(b"x")

    with answering(answer) as port, GuardedTransport([f"127.0.0.1:{port}"], within_s=0.5) as guard:
        with httpx.Client(transport=guard, timeout=60) as client, pytest.raises(MediaError, match=r"within 0\.5 s"):
            client.get(f"http://127.0.0.1:{port}/")
    waiting.set()


@pytest.fixture
def certified(tmp_path, monkeypatch):
    """A TLS context of a server on 127.0.0.1 whose certificate the guard trusts."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path, form = tmp_path / "server.pem", serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(form) + private)
    monkeypatch.setattr(guard, "_trust", lambda: ssl.create_default_context(cafile=path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_over_tls_too(certified):
    waiting = threading.Event()

    def answer(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not waiting.wait(0.05):
            connection.sendall(b"x")

    with answering(answer, certified) as port, GuardedTransport([f"127.0.0.1:{port}"], within_s=0.5) as transport:
        with httpx.Client(transport=transport, timeout=60) as client, pytest.raises(MediaError, match=r"within 0\.5 s"):
            client.get(f"https://127.0.0.1:{port}/")
    waiting.set()


def test_each_request_has_a_time_of_its_own(certified):
    def answer(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        threading.Event().wait(0.3)
        connection.sendall(b"k")

    with answering(answer, certified) as port, GuardedTransport([f"127.0.0.1:{port}"], within_s=1) as transport:
        with httpx.Client(transport=transport, timeout=60) as client:
            assert [client.get(f"https://127.0.0.1:{port}/").text for _ in range(5)] == ["ok"] * 5
