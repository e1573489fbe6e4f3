"""Clients and servers that behave badly on purpose: abuse.py ATTACK PORT CLIENTS SECONDS.

Opens CLIENTS connections that do what ATTACK says, then asks for a page once a second beside them on
connections of its own, for SECONDS. Prints how many of these were answered, and the slowest.

slow-uploads     large uploads, a byte every 2 s once they have begun
stalled-uploads  3 of 10 bytes of a body, then nothing
slow-readers     large responses that are not read
idle-tunnels     WebSockets on which nothing moves
half-heads       request heads that come a byte per second and never end

abuse.py serve tunnels   serves pages, and tunnels on which nothing moves
abuse.py serve endless   answers every request, health checks too, without an end
"""

import socket
import socketserver
import sys
import threading
import time

HOST = "127.0.0.1"
# A request beside the attack that takes longer was not answered.
PATIENCE = 15


def head(line, *fields):
    return "\r\n".join([line, "Host: x", *fields, "", ""]).encode()


def connect(port, receive_buffer=None):
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE)
    client.connect((HOST, port))
    return client


def drip(client, stopped, interval, piece):
    """Sends a byte every `interval` seconds until it is cut off."""
    while not stopped.wait(interval):
        try:
            client.sendall(piece)
        except OSError:
            return


def slow_upload(port, stopped):
    client = connect(port)
    client.sendall(head("POST /slow HTTP/1.1", "Content-Length: 10000000") + b"x" * 65536)
    drip(client, stopped, 2, b"x")


def stalled_upload(port, stopped):
    client = connect(port)
    client.sendall(head("POST /stalled HTTP/1.1", "Content-Length: 10") + b"abc")
    stopped.wait()


def slow_reader(port, stopped):
    client = connect(port, receive_buffer=4096)
    client.sendall(head("GET /big/50000000 HTTP/1.1"))
    stopped.wait()


def idle_tunnel(port, stopped):
    client = connect(port)
    client.sendall(
        head("GET /tunnel HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    )
    client.recv(4096)
    stopped.wait()


def half_head(port, stopped):
    client = connect(port)
    client.sendall(b"GET /half HTTP/1.1\r\nX-Endless: ")
    drip(client, stopped, 1, b"x")


ATTACKS = {
    "slow-uploads": slow_upload,
    "stalled-uploads": stalled_upload,
    "slow-readers": slow_reader,
    "idle-tunnels": idle_tunnel,
    "half-heads": half_head,
}


def ask(port):
    """Seconds that a GET took; none if it was not answered with 200."""
    begun = time.monotonic()
    try:
        with connect(port) as client:
            client.sendall(head("GET /beside HTTP/1.1", "Connection: close"))
            answer = b""
            while piece := client.recv(65536):
                answer += piece
    except OSError:
        return None
    return time.monotonic() - begun if answer.startswith(b"HTTP/1.1 200 ") else None


class Tunnels(socketserver.StreamRequestHandler):
    def handle(self):
        while lines := self.head():
            if any(line.lower().startswith(b"upgrade:") for line in lines):
                self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n"
                                 b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                self.rfile.read()
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def head(self):
        """The lines of a request head; none at the end."""
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return lines


class Endless(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(4096)
        try:
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
            while True:
                self.request.sendall(b"x" * 65536)
        except OSError:
            pass


def serve(handler):
    socketserver.ThreadingTCPServer.daemon_threads = True
    server = socketserver.ThreadingTCPServer((HOST, 0), handler)
    print(f"listening on {HOST}:{server.server_address[1]}", file=sys.stderr, flush=True)
    server.serve_forever()


def main():
    if sys.argv[1] == "serve":
        return serve({"tunnels": Tunnels, "endless": Endless}[sys.argv[2]])
    attack, port, clients, seconds = sys.argv[1], *map(int, sys.argv[2:5])
    stopped = threading.Event()
    for _ in range(clients):
        threading.Thread(target=guarded, args=(ATTACKS[attack], port, stopped), daemon=True).start()
    time.sleep(0.5)
    took = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        took.append(ask(port))
        time.sleep(0.2)
    stopped.set()
    answered = [it for it in took if it is not None]
    print("asked", len(took))
    print("answered", len(answered))
    print("slowest_ms", round(max(answered, default=0) * 1000))


def guarded(attack, port, stopped):
    try:
        attack(port, stopped)
    except OSError:
        pass


if __name__ == "__main__":
    main()
