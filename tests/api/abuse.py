"""Clients that want no answer but a place: slow ones, huge ones, many at once. All on loopback."""

import contextlib
import pathlib
import resource
import socket
import time

from common import Api, check, equal, raw, token

MANY = 10000


def is_closed(s):
    """Has the other side ended this connection?"""
    s.setblocking(False)
    try:
        while data := s.recv(65536):
            check("no good answer to half a request", b" 200 " not in data[:20], data[:50])
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_slow(folder, settings):
    """Each sends a byte now and then, for ever: its time is up all the same."""
    beginnings = [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
        b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n",
        b"",
    ]
    with Api(folder, **{**settings, "PARTHAUL_REQUEST_SECONDS": "2"}) as api:
        sockets = []
        for i in range(40):
            s = socket.create_connection(("127.0.0.1", api.port))
            s.sendall(beginnings[i % len(beginnings)])
            sockets.append(s)
        began, closed = time.time(), 0
        while time.time() - began < 20 and closed < len(sockets):
            for s in sockets:
                with contextlib.suppress(OSError):
                    s.setblocking(True)
                    s.sendall(b"a")
            equal("others are served meanwhile", api.ask("GET", "/healthz")[0], 200)
            time.sleep(0.3)
            closed = sum(is_closed(s) for s in sockets)
        equal("all slow ones are cut", closed, len(sockets))
        check("soon after their time", time.time() - began < 12, time.time() - began)
        for s in sockets:
            s.close()


def test_huge(folder, settings):
    with Api(folder, **settings) as api:
        line = b"X-%d: " + b"y" * 1000 + b"\r\n"
        head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
        for what, data in {
            "many headers": head + b"".join(line % i for i in range(5000)),
            "one header": head + b"X: " + b"y" * 5000000,
            "a path": b"GET /" + b"y" * 5000000,
            "a query": b"GET /healthz?" + b"y&" * 2500000,
            "no header": b"y" * 5000000,
            "a method": b"Y" * 1000000 + b" / HTTP/1.1\r\n\r\n",
            "cookies": head + b"Cookie: " + b"a=b; " * 1000000,
        }.items():
            answer = raw(api, data + b"\r\n\r\n")
            check(f"huge: {what}", b" 200 " not in answer[:20], answer[:60])
            equal(f"alive after {what}", api.ask("GET", "/healthz")[0], 200)
        query = "&".join(f"k{i}=v" for i in range(100))
        equal("a query of many parameters",
              api.ask("GET", f"/v1/credentials?{query}", token())[0], 200)


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def test_many(folder, settings, program=None):
    """Ten thousand connections that stay, and one more that works; fewer where the system's limit
    on descriptors is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = min(MANY, hard - 500 if hard != resource.RLIM_INFINITY else MANY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, possible + 400), hard))
    with Api(folder, program=program,
             **{**settings, "PARTHAUL_CONNECTIONS": str(possible + 200)}) as api:
        equal("before", api.ask("GET", "/healthz")[0], 200)
        before = resident_kib(api.process.pid)
        sockets, began = [], time.time()
        for i in range(possible):
            # Addresses of the loopback network, so that ports do not run out.
            s = socket.create_connection(("127.0.0.1", api.port), timeout=10,
                                         source_address=(f"127.0.0.{2 + i % 10}", 0))
            sockets.append(s)
        for s in sockets[::10]:  # a tenth begins a request
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        equal(f"{possible} connections and one more", api.ask("GET", "/v1/credentials", token())[0],
              200)
        per_connection = (resident_kib(api.process.pid) - before) / possible
        for s in sockets[::10]:
            s.sendall(b"\r\n")
        answered = sum(s.recv(1000).startswith(b"HTTP/1.1 200") for s in sockets[::10])
        equal("those that began are answered", answered, len(sockets[::10]))
        for s in sockets:
            s.close()
        print(f"{possible} connections in {time.time() - began:.1f} s, "
              f"{per_connection:.1f} KiB each", flush=True)
        equal("after", api.ask("GET", "/healthz")[0], 200)
        equal("exit status", api.stop(), 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return per_connection


def test_limit(folder, settings):
    with Api(folder, **{**settings, "PARTHAUL_CONNECTIONS_PER_ADDRESS": "5"}) as api:
        held = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(5)]
        time.sleep(0.3)
        more = socket.create_connection(("127.0.0.1", api.port))
        more.settimeout(5)
        with contextlib.suppress(OSError):
            more.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            check("the sixth of an address is closed", more.recv(100) == b"")
        for s in [*held, more]:
            s.close()


def test(folder, settings):
    test_slow(folder, settings)
    test_huge(folder, settings)
    test_many(folder, settings)
    test_limit(folder, settings)
