"""WebSocket (RFC 6455) from the standard library: an echo server and a client that checks it.

websocket.py serve                       echoes every frame; prints where it listens
websocket.py talk PORT CLIENTS MESSAGES [PAUSE]
    CLIENTS at once through PORT, PAUSE seconds before each message; prints what came back
"""

import base64
import hashlib
import os
import random
import socket
import socketserver
import struct
import sys
import threading
import time

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
SIZES = [0, 1, 125, 126, 1_000, 65_535, 65_536, 200_000]


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()


def write_frame(out, opcode, payload, mask):
    head = bytes([0x80 | opcode])
    masked = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([masked | len(payload)])
    elif len(payload) < 65_536:
        head += bytes([masked | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", len(payload))
    if mask:
        head += mask
        payload = masked_by(payload, mask)
    out.write(head + payload)
    out.flush()


def masked_by(payload, mask):
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def exactly(source, size):
    data = source.read(size)
    if len(data) < size:
        raise ConnectionError("the connection ended early")
    return data


def read_frame(source):
    first, second = exactly(source, 2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", exactly(source, 2))
    elif size == 127:
        (size,) = struct.unpack("!Q", exactly(source, 8))
    mask = exactly(source, 4) if second & 0x80 else None
    payload = exactly(source, size)
    return first & 0x0F, masked_by(payload, mask) if mask else payload


def read_head(source):
    line = source.readline().decode().strip()
    fields = {}
    while (field := source.readline().decode().strip()):
        name, value = field.split(":", 1)
        fields[name.lower()] = value.strip()
    return line, fields


def echo(source, out, key, name):
    """Accepts the upgrade, then sends every frame back, up to the close."""
    out.write((
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_of(key)}\r\nX-Served-By: {name}\r\n\r\n").encode())
    out.flush()
    while True:
        opcode, payload = read_frame(source)
        write_frame(out, PONG if opcode == PING else opcode, payload, None)
        if opcode == CLOSE:
            return


class Echo(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        try:
            self.serve()
        except (ConnectionError, OSError):
            pass

    def serve(self):
        line, fields = read_head(self.rfile)
        if fields.get("upgrade", "").lower() != "websocket":
            body = b"0\n0\n" if "/healthcheck" in line else b"a WebSocket is spoken here\n"
            self.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
                b"200 OK" if "/healthcheck" in line else b"426 Upgrade Required", len(body), body))
            return
        echo(self.rfile, self.wfile, fields["sec-websocket-key"], self.server.server_address[1])


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


def serve():
    with Server(("127.0.0.1", 0), Echo) as server:
        print(f"websocket: listening on http://127.0.0.1:{server.server_address[1]}",
              file=sys.stderr, flush=True)
        server.serve_forever()


def talk_once(port, messages, pause, seen):
    """One client: opens, sends `messages` frames of all sizes, closes; appends what it saw."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = connection.makefile("rwb")
        key = base64.b64encode(os.urandom(16)).decode()
        stream.write((
            f"GET /chat HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        stream.flush()
        line, fields = read_head(stream)
        if " 101 " not in line + " " or fields.get("sec-websocket-accept") != accept_of(key):
            raise ConnectionError(f"no upgrade: {line}")
        write_frame(stream, PING, b"hello", os.urandom(4))
        if read_frame(stream) != (PONG, b"hello"):
            raise ConnectionError("the pong has another payload")
        for number in range(messages):
            time.sleep(pause)
            payload = random.randbytes(SIZES[number % len(SIZES)])
            write_frame(stream, BINARY, payload, os.urandom(4))
            if read_frame(stream) != (BINARY, payload):
                raise ConnectionError(f"a message of {len(payload)} bytes came back changed")
            seen["messages"] += 1
            seen["bytes"] += len(payload)
        write_frame(stream, CLOSE, struct.pack("!H", 1000), os.urandom(4))
        if read_frame(stream)[0] != CLOSE:
            raise ConnectionError("no close frame came back")
        if stream.read(1):
            raise ConnectionError("bytes came after the close")
        seen["servers"][fields.get("x-served-by")] = seen["servers"].get(fields.get("x-served-by"), 0) + 1


def talk(port, clients, messages, pause=0.0):
    seen = [{"messages": 0, "bytes": 0, "servers": {}} for _ in range(clients)]
    errors = []

    def one(mine):
        try:
            talk_once(port, messages, pause, mine)
        except (OSError, ValueError) as error:
            errors.append(f"{type(error).__name__}: {error}")

    start = time.time()
    threads = [threading.Thread(target=one, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.time() - start
    servers = {}
    for mine in seen:
        for server, count in mine["servers"].items():
            servers[server] = servers.get(server, 0) + count
    count = sum(mine["messages"] for mine in seen)
    size = sum(mine["bytes"] for mine in seen)
    print(f"{clients - len(errors)} of {clients} sockets, {count} messages came back as sent, "
          f"{size / seconds / 1e6:.1f} MB/s each way")
    print("sockets per server:", " ".join(f"{name}:{n}" for name, n in sorted(servers.items())))
    for error in errors[:5]:
        print("error", error)
    return 1 if errors or count != clients * messages else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    elif sys.argv[1:2] == ["talk"] and len(sys.argv) in (5, 6):
        sys.exit(talk(*map(int, sys.argv[2:5]), *map(float, sys.argv[5:])))
    else:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
