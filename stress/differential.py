#!/usr/bin/env python3
"""The same unusual requests and responses through this program, nginx and HAProxy: where they differ.

Started by differential.sh. Each proxy forwards to a server that records every byte. What arrived is
read by one reader to the letter and by several careless ones: if they find different requests, what
was forwarded is ambiguous. The exit code is 1 if this program forwarded anything ambiguous, more
requests than the strict reading of what was sent has, or gave a client what is not its response.
"""

import argparse
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare import Failed, free_ports, run
from odd_messages import ANSWERS, REQUESTS, octets

# Each proxy serves so many cases at a time, each in a lane with a port and a server of its own.
LANES = 16
# How long a client waits for the first byte, and for more after a response that seems complete.
FIRST_SECONDS, QUIET_SECONDS = 2.0, 0.06
BYTES_MAX = 1 << 20

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    retries 0
    http-reuse always
    timeout connect 2s
    timeout client 10s
    timeout server 3s
"""

HAPROXY_LANE = """
listen lane{lane}
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{backend}
"""

NGINX = """
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/nginx.log crit;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection "";
    proxy_next_upstream off;
    proxy_read_timeout 3s;
    {lanes}
}}
"""

NGINX_LANE = """
    upstream b{lane} {{ server 127.0.0.1:{backend} max_fails=0; keepalive 4; }}
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://b{lane}; }} }}
"""


# --- Readers. A request is (method, target, host, body, is_whole).


CRLF = re.compile(rb"\r\n")


def split_head(raw, end):
    """Start line, field lines and the rest; `end` is what this reader takes for a line's end."""
    lines, at = [], 0
    while stop := end.search(raw, at):
        line, at = raw[at:stop.start()], stop.end()
        if line:
            lines.append(line)
        elif lines:
            return lines[0], lines[1:], raw[at:]
    return None


def number(text, base=10):
    try:
        return int(text, base)
    except ValueError:
        return None


def cut_line(raw, end):
    """The first line, the rest, and whether the line has an end."""
    stop = end.search(raw)
    return (raw[:stop.start()], raw[stop.end():], True) if stop else (raw, b"", False)


def chunked(raw, end):
    """Content, rest and whether the end is there."""
    content = b""
    while True:
        line, rest, found = cut_line(raw, end)
        size = number(line.split(b";")[0].strip(), 16)
        if not found or size is None or size < 0:
            return content, raw, False
        while size == 0:
            line, rest, found = cut_line(rest, end)
            if not (line and found):
                return content, rest, found
        content, rest = content + rest[:size], rest[size:]
        line, raw, found = cut_line(rest, end)
        if line or not found:
            return content, rest, False


def requests(raw, end=CRLF, length_first=False, loose=False):
    """What a reader makes of a connection's bytes. A loose one takes a name up to white space, a
    coding that only contains the word, and continues folded lines."""
    found = []
    while raw.strip(b"\r\n"):
        head = split_head(raw, end)
        if head is None:
            return found + [("?", raw[:40].decode("latin-1"), "", b"", False)]
        start, lines, raw = head
        words = (start.split() + [b"", b""])[:2]
        fields = {}
        for line in lines:
            name, _, value = line.partition(b":")
            name = name.lower().strip() if loose else name.lower()
            fields.setdefault(name, []).append(value.strip())
        lengths = fields.get(b"content-length", [])
        codings = b",".join(fields.get(b"transfer-encoding", [])).lower()
        is_chunked = b"chunked" in codings if loose else codings == b"chunked"
        whole = True
        if is_chunked and not (length_first and lengths):
            body, raw, whole = chunked(raw, end)
        else:
            size = number(lengths[-1 if loose else 0].split(b",")[0]) if lengths else 0
            size = max(size or 0, 0)
            body, raw, whole = raw[:size], raw[size:], len(raw) >= size
        host = b",".join(fields.get(b"host", []))
        texts = [text.decode("latin-1") for text in (*words, host)]
        found.append((*texts, body, whole))
        if not whole:
            break
    return found


CARELESS = [
    {"end": end, "length_first": length_first, "loose": loose}
    for end in [CRLF, re.compile(rb"\r?\n"), re.compile(rb"\r\n?|\n")]
    for length_first in [False, True]
    for loose in [False, True]
]


def is_ambiguous(raw):
    whole = [one[:4] for one in requests(raw) if one[4]]
    return any([one[:4] for one in requests(raw, **style) if one[4]] != whole for style in CARELESS)


def answers(raw, to_head=False):
    """Statuses with their bodies: "200 abc", "200 abc…" where it is not whole. And how many of them
    are final."""
    found, final = [], 0
    while raw:
        head = split_head(raw, CRLF)
        if head is None or not re.match(rb"HTTP/1\.[01] ", raw):
            return found + ["?" + show(raw)], final
        start, lines, raw = head
        status = start[9:12].decode("latin-1")
        fields = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in lines}
        if status.startswith("1"):
            found.append(status)
            continue
        whole, body = True, b""
        if not (to_head or status in ("204", "304")):
            coding = fields.get(b"transfer-encoding", b"").lower()
            if coding == b"chunked" and start.startswith(b"HTTP/1.1"):
                body, raw, whole = chunked(raw, CRLF)
            elif b"content-length" in fields:
                size = number(fields[b"content-length"]) or 0
                body, raw, whole = raw[:size], raw[size:], len(raw) >= size
            else:
                body, raw = raw, b""
        text = f" {show(body)}" if status == "200" and body else ""
        found.append(status + text + ("" if whole else "…"))
        final += 1
    return found, final


def show(octet_string):
    text = octet_string.decode("latin-1").encode("unicode_escape").decode()
    return text if len(text) <= 24 else text[:24] + "…"


# --- The server of each lane.


class Backend(threading.Thread):
    """Records what it receives; answers each request, by `script` if there is one."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.lock = threading.Lock()
        self.open = set()
        self.begin(None)
        self.start()

    def begin(self, script):
        """Forgets what was recorded. `script`: the bytes for /1, and whether to close afterwards."""
        self.hang_up()
        with self.lock:
            self.records, self.open, self.script = [], set(), script

    def hang_up(self):
        """Ends what is still open; whether anything was."""
        with self.lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            return bool(self.open)

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            connection.settimeout(5)
            with self.lock:
                record = bytearray()
                self.records.append(record)
                self.open.add(connection)
                script, own = self.script, self.open
            threading.Thread(target=self.serve, args=(connection, record, script, own),
                             daemon=True).start()

    def serve(self, connection, record, script, own):
        answered = 0
        try:
            while len(record) < BYTES_MAX and (data := connection.recv(65536)):
                record += data
                whole = [one for one in requests(bytes(record)) if one[4]]
                for one in whole[answered:]:
                    answered += 1
                    if script and one[1] == "/1":
                        connection.sendall(script[0])
                        if script[1]:
                            return
                    else:
                        self.answer(connection, script)
        except OSError:
            pass
        finally:
            connection.close()
            with self.lock:
                own.discard(connection)

    @staticmethod
    def answer(connection, script):
        # Without a script each connection ends after its first response, but is read to its end.
        close = "" if script else "Connection: close\r\n"
        connection.sendall(octets(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}\r\nok"))

    def recorded(self):
        """All bytes by connection, once the proxy has let go of them. What it still does when its
        client has left, or when it loses a connection, belongs to this case, not to the next."""
        self.await_quiet()
        if self.hang_up():
            self.await_quiet()
        with self.lock:
            return [bytes(record) for record in self.records]

    def await_quiet(self):
        """Until no connection was open for a while, or not much longer."""
        ends = time.monotonic() + 0.5
        quiet_since = None
        while (now := time.monotonic()) < ends:
            with self.lock:
                quiet_since = None if self.open else quiet_since or now
            if quiet_since and now - quiet_since > QUIET_SECONDS:
                break
            time.sleep(0.005)


# --- The client's side.


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.is_open = True

    def ask(self, raw, expected, to_head=False):
        """Sends, and reads up to the end, or until nothing more seems to come."""
        got = b""
        try:
            self.socket.sendall(raw)
        except OSError:
            pass
        began = time.monotonic()
        quiet = FIRST_SECONDS
        while self.is_open and time.monotonic() < began + 5:
            self.socket.settimeout(quiet)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                break
            except OSError:
                data = b""
            if not data:
                self.is_open = False
            got += data
            if answers(got, to_head)[1] >= expected:
                quiet = QUIET_SECONDS
        return answers(got, to_head)[0]

    def close(self):
        self.socket.close()


def try_request(lane, name, most, raw):
    """What the client got, what the server got, and what is wrong with that."""
    port, backend = lane
    backend.begin(None)
    client = Client(port)
    got = client.ask(raw, max(most, 1), to_head=raw.startswith(b"HEAD"))
    stays = client.is_open
    client.close()
    records = backend.recorded()
    arrived = [one for record in records for one in requests(record)]
    whole = [one for one in arrived if one[4]]
    wrong = []
    if len(whole) > most:
        wrong.append(f"{len(whole)} requests forwarded, {most} sent")
    if any(is_ambiguous(record) for record in records):
        wrong.append("ambiguous")
    if most == 0 and (not got or got[0].startswith("2")):
        wrong.append("not refused")
    if most == 0 and stays:
        wrong.append("the connection stays")
    return ", ".join(got) or ("waits" if stays else "closed"), arrived, wrong


def shown_request(one):
    method, target, host, body, whole = one
    text = f"{method} {show(octets(target))}"
    if host != "x":
        text += " @" + show(octets(re.sub(r"^127\.0\.0\.1:\d+$", "server", host)))
    if body:
        text += f" {show(body)}"
    return text + ("" if whole else "…")


def try_answer(lane, name, is_whole, closes, raw):
    port, backend = lane
    backend.begin((raw, closes))
    client = Client(port)
    got = client.ask(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n", 1)
    if got and got[-1].endswith("…") and client.is_open:
        got.append("waits")
    first = ", ".join(got) or ("waits" if client.is_open else "closed")
    if not client.is_open or not got or got[-1] == "waits":
        client.close()
        client = Client(port)
    second = client.ask(b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n", 1)
    client.close()
    wrong = []
    if second != ["200 ok"]:
        wrong.append("the next client got " + (", ".join(second) or "nothing"))
    if "stolen" in first:
        wrong.append("two responses to one request")
    if not is_whole and re.fullmatch(r"2\d\d( [^…?]*)?", first):
        wrong.append("passed on as whole")
    return first, [], wrong


# --- The proxies.


class Bench:
    def __init__(self, program):
        self.program = program
        self.home = tempfile.mkdtemp(prefix="differential-")
        self.children = []
        self.lanes = {}

    def spawn(self, *command, **streams):
        streams.setdefault("stderr", subprocess.DEVNULL)
        child = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, **streams)
        self.children.append(child)
        return child

    def close(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self, peers):
        self.start_ours()
        for peer in peers:
            backends = [Backend() for _ in range(LANES)]
            lanes = list(zip(free_ports(LANES), backends))
            command = self.nginx(lanes) if peer == "nginx" else self.haproxy(lanes)
            err = Path(self.home, f"{peer}.err")
            with open(err, "w") as file:
                child = self.spawn(*command, stderr=file)
            for port, _ in lanes:
                await_port(peer, port, child, err)
            self.lanes[peer] = lanes

    def start_ours(self):
        lanes = []
        for _ in range(LANES):
            backend = Backend()
            child = self.spawn(
                self.program, "127.0.0.1:0", f"127.0.0.1:{backend.port}", "--health", "off",
                "--retries", "0", "--response-timeout", "3s", stderr=subprocess.PIPE, text=True,
            )
            line = child.stderr.readline()
            found = re.search(r"://127\.0\.0\.1:(\d+)", line)
            if not found:
                raise Failed(f"loadbalancer did not start: {line.strip()}")
            # Further output must not fill the pipe.
            threading.Thread(target=child.stderr.read, daemon=True).start()
            lanes.append((int(found[1]), backend))
        self.lanes["ours"] = lanes

    def nginx(self, lanes):
        parts = [NGINX_LANE.format(lane=lane, port=port, backend=backend.port)
                 for lane, (port, backend) in enumerate(lanes)]
        config = Path(self.home, "nginx.conf")
        config.write_text(NGINX.format(home=self.home, lanes="".join(parts)))
        return "nginx", "-p", self.home, "-c", config

    def haproxy(self, lanes):
        parts = [HAPROXY_LANE.format(lane=lane, port=port, backend=backend.port)
                 for lane, (port, backend) in enumerate(lanes)]
        config = Path(self.home, "haproxy.cfg")
        config.write_text(HAPROXY + "".join(parts))
        return "haproxy", "-db", "-f", config

    def run(self, attempt, cases):
        """Results by case name and proxy."""
        results = {case[0]: {} for case in cases}

        def lane_of(proxy, number):
            for case in cases[number::LANES]:
                results[case[0]][proxy] = attempt(self.lanes[proxy][number], *case)

        with ThreadPoolExecutor(LANES * len(self.lanes)) as pool:
            runs = [pool.submit(lane_of, proxy, number)
                    for proxy in self.lanes for number in range(LANES)]
            for each in runs:
                each.result()
        return results


def await_port(name, port, child, err):
    ends = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if child.poll() is not None or time.monotonic() > ends:
                raise Failed(f"{name} did not start: {err.read_text().strip()}") from None
            time.sleep(0.01)


def report(title, results, proxies, show_all):
    """The rows where the proxies differ; how many there are."""
    print(f"\n{title}\n")
    rows, complaints = [], []
    for name, row in results.items():
        cells = []
        for proxy in proxies:
            got, arrived, wrong = row[proxy]
            cell = " → ".join([got] + [" | ".join(map(shown_request, arrived))] * bool(arrived))
            cells.append("! " * bool(wrong) + cell)
            if proxy == "ours":
                complaints += [f"{name}: {word}" for word in wrong]
        if show_all or len(set(cells)) > 1 or row["ours"][2]:
            rows.append((name, *cells))
    widths = [max(map(len, column), default=0) for column in zip(("", *proxies), *rows)]
    for row in [("", *proxies)] + rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for complaint in complaints:
        print(f"ours, {complaint}")
    return len(rows)


def main():
    parser = argparse.ArgumentParser(prog="differential.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="print what is the same as well")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    peers = []
    for peer, package in [("nginx", "nginx-light"), ("haproxy", "haproxy")]:
        if shutil.which(peer):
            peers.append(peer)
        else:
            print(f"without {peer}: not installed (Debian: apt-get install {package})")
    bench = Bench(options.program)
    try:
        bench.start(peers)
        asked = bench.run(try_request, REQUESTS)
        answered = bench.run(try_answer, ANSWERS)
    finally:
        bench.close()
    proxies = ["ours", *peers]
    title = "Requests: answer → what reached the server (! not to the letter, … not whole)"
    differ = report(title, asked, proxies, options.all)
    title = "Responses of a server: what reached the client"
    differ += report(title, answered, proxies, options.all)
    wrong = {proxy: sum(bool(row[proxy][2]) for row in [*asked.values(), *answered.values()])
             for proxy in proxies}
    count = len(REQUESTS) + len(ANSWERS)
    print(f"\n{count} messages, {differ} treated differently; not to the letter: "
          + ", ".join(f"{proxy} {count}" for proxy, count in wrong.items()))
    return 1 if wrong["ours"] else 0


if __name__ == "__main__":
    run("differential", main)
