"""A scripted backend: responses that can be checked, and a record of every POST it processed.

GET /big/N        N bytes that follow from the path
GET anything      a short body that follows from the path
POST anything     reads the body, appends the field X-Id to the record, responds with the body's hash
GET /healthcheck  "0\n0\n"
Upgrade to a WebSocket: sends every frame back, see websocket.py

A POST is recorded before its response is sent: an id that is there twice was processed twice.
SIGTERM closes the listening socket, finishes what is in flight and ends. After SIGUSR1 every response
(that to a health check too) is garbage, after SIGUSR2 a 500, after SIGHUP as before.
"""

import argparse
import hashlib
import itertools
import os
import random
import select
import signal
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

import websocket

BIG_BYTES_MAX = 64 << 20


def body_of(path):
    """The body for GET `path`; the client computes the same."""
    if path.startswith("/big/"):
        return stream(path, min(int(path.split("/")[2]), BIG_BYTES_MAX))
    return f"{path} {hashlib.sha256(path.encode()).hexdigest()}\n".encode()


def stream(path, size):
    block = hashlib.sha512(path.encode()).digest() * 64
    return (block * (size // len(block) + 1))[:size]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        if self.misbehaves():
            return None
        if self.path == "/healthcheck":
            return self.answer(b"0\n0\n")
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.speak()
        self.pause()
        body = body_of(self.path)
        if self.path.startswith("/big/") and len(self.path) % 2:
            return self.answer_chunked(body)
        return self.answer(body)

    def do_POST(self):
        body = self.read_body()
        if self.misbehaves():
            return None
        self.server.acted(self.headers.get("X-Id", "?"))
        self.pause()
        self.answer(hashlib.sha256(body).hexdigest().encode() + b"\n")

    def speak(self):
        self.close_connection = True
        key = self.headers["Sec-WebSocket-Key"]
        websocket.echo(self.rfile, self.wfile, key, self.server.server_address[1])

    def misbehaves(self):
        """Whether the request got a bad response or none, as the options say."""
        if self.server.mood == signal.SIGUSR1:
            self.wfile.write(b"\0garbage\r\n\r\n")
            self.close_connection = True
        elif self.server.mood == signal.SIGUSR2:
            self.send_error(500)
        elif self.path == "/healthcheck":
            return False
        elif self.server.is_unlucky() or time.monotonic() >= self.dies:
            self.close_connection = True
        else:
            return False
        return True

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.exactly(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            piece = self.exactly(size)
            if size == 0:
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                return b"".join(pieces)
            self.rfile.readline()
            pieces.append(piece)

    def exactly(self, size):
        """A body cut short is not processed."""
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionResetError("the body was cut short")
        return data

    def pause(self):
        if self.server.delay:
            time.sleep(self.server.delay * random.uniform(0.5, 1.5))

    def head(self):
        self.send_response(200)
        self.send_header("X-Served-By", str(self.server.server_address[1]))

    def finish_head(self):
        if self.server.draining:
            self.send_header("Connection", "close")
        self.end_headers()

    def answer(self, body):
        self.head()
        self.send_header("Content-Length", str(len(body)))
        self.finish_head()
        self.wfile.write(body)

    def answer_chunked(self, body):
        self.head()
        self.send_header("Transfer-Encoding", "chunked")
        self.finish_head()
        for start in range(0, len(body), 50_000):
            piece = body[start:start + 50_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def setup(self):
        super().setup()
        self.dies = float("inf")

    def handle_one_request(self):
        left = self.dies - time.monotonic()
        if left < float("inf") and not select.select([self.connection], [], [], max(0, left))[0]:
            self.close_connection = True
            return
        self.server.idle.add(self.connection)
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError, ValueError):
            self.close_connection = True
        finally:
            self.server.idle.discard(self.connection)
        if self.server.lifetime and self.dies == float("inf"):
            self.dies = time.monotonic() + random.uniform(0, self.server.lifetime)

    def parse_request(self):
        # The request has begun: a drain waits for its end.
        self.server.idle.discard(self.connection)
        return super().parse_request()

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, options):
        super().__init__((options.host, options.port), Handler)
        record = options.record
        self.record = record and os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.delay, self.lifetime, self.drop = options.delay, options.lifetime, options.drop
        self.mood = None
        self.numbers = itertools.count(1)
        self.draining = False
        self.idle = set()
        self.busy = 0
        self.lock = threading.Lock()

    def is_unlucky(self):
        return self.drop and next(self.numbers) % self.drop == 0

    def acted(self, ident):
        if self.record:
            os.write(self.record, f"{ident}\n".encode())

    def process_request_thread(self, request, address):
        with self.lock:
            self.busy += 1
        try:
            super().process_request_thread(request, address)
        finally:
            with self.lock:
                self.busy -= 1

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, address)

    def drain(self):
        """Graceful shutdown: no new connections, idle ones closed."""
        self.draining = True
        self.server_close()
        ends = time.monotonic() + 2
        while self.busy > 0 and time.monotonic() < ends:
            for connection in list(self.idle):
                self.idle.discard(connection)
                try:
                    connection.shutdown(2)
                except OSError:
                    pass
            time.sleep(0.01)
        os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--record", help="file for the ids of the POSTs processed")
    parser.add_argument("--delay", type=float, default=0, help="seconds per response, about")
    parser.add_argument("--lifetime", type=float, default=0,
                        help="longest time in seconds that a connection is kept after its first response")
    parser.add_argument("--drop", type=int, default=0,
                        help="close without a response at each request of this number")
    options = parser.parse_args()
    server = Server(options)

    def terminate(*_):
        threading.Thread(target=server.drain).start()

    def change(number, _):
        server.mood = number

    signal.signal(signal.SIGTERM, terminate)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, change)
    print(f"backend: listening on http://{options.host}:{server.server_address[1]}",
          file=sys.stderr, flush=True)
    try:
        server.serve_forever(0.1)
    except (OSError, ValueError):
        # The listening socket was closed by the drain, which ends the process.
        time.sleep(5)


if __name__ == "__main__":
    main()
