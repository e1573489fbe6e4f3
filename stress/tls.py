"""What one proxy spends on clients in TLS: see tls.sh.

tls.py SCHEME PORT PID TRUSTED HANDSHAKES IDLE prints CPU microseconds per new connection with one GET,
per resumed one, and per GET on connections that stay; MB of 64 MiB answers per CPU second; and bytes
per idle client. In the clear (http) the resumed ones are new ones, too.
"""

import re
import socket
import ssl
import subprocess
import sys
import time

SCHEME, PORT, PID, TRUSTED, HANDSHAKES, IDLE = sys.argv[1:]
PORT, HANDSHAKES, IDLE = int(PORT), int(HANDSHAKES), int(IDLE)
CONTEXT = ssl.create_default_context(cafile=TRUSTED)
GET = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def cpu():
    """Nanoseconds that the proxy has run."""
    with open(f"/proc/{PID}/schedstat") as file:
        return int(file.read().split()[0])


def memory():
    """Bytes of memory that only it has."""
    with open(f"/proc/{PID}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def connect(session=None):
    tcp = socket.create_connection(("127.0.0.1", PORT), timeout=30)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if SCHEME == "http":
        return tcp
    return CONTEXT.wrap_socket(tcp, server_hostname="localhost", session=session)


def rest(client):
    count = 0
    while True:
        try:
            data = client.recv(1 << 18)
        except (ConnectionResetError, ssl.SSLError):
            data = b""
        if not data:
            return count
        count += len(data)


def answer(client):
    data = b""
    while not data.endswith(b"\r\n\r\nx"):
        more = client.recv(65536)
        assert more, "the proxy has closed the connection"
        data += more


def one(session):
    client = connect(session)
    client.sendall(LAST)
    assert rest(client) > 0, "no answer"
    if SCHEME == "https":
        if session is not None:
            assert client.session_reused, "the session was not resumed"
        session = client.session
    client.close()
    return session


def spent(act, count):
    before = cpu()
    act()
    time.sleep(0.05)
    return (cpu() - before) / 1000 / count


def new():
    for _ in range(HANDSHAKES):
        one(None)


def resumed():
    for _ in range(HANDSHAKES):
        state["session"] = one(state["session"])


def gets():
    """By wrk, which is fast enough to keep the proxy busy; how many."""
    url = f"{SCHEME}://localhost:{PORT}/small"
    text = subprocess.run(["wrk", "-t1", "-c16", "-d3s", url], capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) requests in", text)[1])


def large():
    for _ in range(LARGE):
        client = connect()
        client.sendall(LAST.replace(b"small", b"large"))
        assert rest(client) > 1 << 26, "a short answer"
        client.close()


LARGE = 3
state = {"session": one(None)}
figures = [spent(new, HANDSHAKES), spent(resumed, HANDSHAKES)]
before = cpu()
count = gets()
figures.append((cpu() - before) / 1000 / count)
figures.append(67.1 * LARGE / (spent(large, 1) / 1e6))
warm = [connect() for _ in range(50)]
before = memory()
idle = []
for _ in range(IDLE):
    client = connect()
    client.sendall(GET)
    answer(client)
    idle.append(client)
time.sleep(0.5)
figures.append((memory() - before) / IDLE)
print(" ".join(f"{figure:.1f}" for figure in figures))
