"""How long GETs take on one connection in TLS, one after the other: see tls.sh.

tls_p99.py PORT TRUSTED COUNT prints the 99th percentile in microseconds.
"""

import socket
import ssl
import sys
import time

PORT, TRUSTED, COUNT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
GET = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
tcp = socket.create_connection(("127.0.0.1", PORT), timeout=30)
tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
client = ssl.create_default_context(cafile=TRUSTED).wrap_socket(tcp, server_hostname="localhost")
times = []
for _ in range(COUNT):
    begun = time.monotonic()
    client.sendall(GET)
    data = b""
    while not data.endswith(b"\r\n\r\nx"):
        more = client.recv(65536)
        assert more, "the proxy has closed the connection"
        data += more
    times.append(time.monotonic() - begun)
print(round(sorted(times)[COUNT * 99 // 100] * 1e6))
