"""A server that says in each response which one it is.

Usage: sticky_server.py HOST:PORT NAME
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, port = sys.argv[1].rsplit(":", 1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("X-Server", sys.argv[2])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server((host, int(port)), Handler)
print(f"listening on {host}:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
