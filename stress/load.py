"""Clients in a closed loop that check every response; prints a report, one figure per line.

requests, failed, failed_get, failed_post (and so on), wrong (bodies), seconds, rate, p50_ms, p99_ms, max_ms;
then `status CODE COUNT`, `served SERVER COUNT`, `key KEY SERVER COUNT`, `error COUNT TEXT`.
A request fails when it gets no response, one cut short, or a status that is not 2xx.
SIGTERM ends the run early, with the report.
"""

import argparse
import collections
import hashlib
import http.client
import itertools
import os
import random
import signal
import threading
import time
import urllib.parse

from backend import body_of

BODY_BYTES = 20_000
BIG_BYTES = 300_000


class Run:
    """What all clients of one run share."""

    def __init__(self, options):
        self.options = options
        url = urllib.parse.urlsplit(options.url)
        self.host, self.port = url.hostname, url.port
        self.numbers = itertools.count()
        self.stop = threading.Event()
        self.done = []
        self.lock = threading.Lock()
        self.ends = time.time() + options.seconds if options.seconds else float("inf")
        mix = dict(part.split("=") for part in options.mix.split(","))
        self.kinds = [kind for kind, share in mix.items() for _ in range(int(share))]

    def next(self):
        """The next request's number; none when the run is over."""
        number = next(self.numbers)
        over = self.stop.is_set() or time.time() >= self.ends
        past = self.options.requests and number >= self.options.requests
        return None if over or past else number


Done = collections.namedtuple("Done", "start ms kind status outcome server key ident")


class Client(threading.Thread):
    """One client: a request at a time over a kept connection."""

    def __init__(self, run, index):
        super().__init__(daemon=True)
        self.shared, self.index, self.connections = run, index, {}

    def run(self):
        options = self.shared.options
        pause = options.clients / options.rate if options.rate else 0
        # Spread evenly, not in bursts of all clients.
        due = time.time() - pause * random.random()
        while (number := self.shared.next()) is not None:
            if pause:
                due = max(due + pause, time.time() - 0.5)
                if self.shared.stop.wait(max(0, due - time.time())):
                    return
            done = self.exchange(number)
            with self.shared.lock:
                self.shared.done.append(done)

    def exchange(self, number):
        options = self.shared.options
        key = number % options.keys
        kind = random.choice(self.shared.kinds)
        ident = f"{os.getpid()}-{number}"
        start, server, status = time.time(), "-", 0
        source = f"127.0.0.{key + 2}" if options.sources else None
        try:
            connection = self.connection(source)
            status, server, outcome = self.ask(connection, kind, number, key, ident)
        except (OSError, http.client.HTTPException) as error:
            self.forget(source)
            outcome = ascii(f"{type(error).__name__}: {error}")[1:81]
        if options.fresh:
            self.forget(source)
        ms = (time.time() - start) * 1000
        return Done(start, ms, kind, status, outcome, server, key, ident)

    def connection(self, source):
        if source not in self.connections:
            bound = (source, 0) if source else None
            timeout = self.shared.options.timeout
            self.connections[source] = http.client.HTTPConnection(
                self.shared.host, self.shared.port, timeout=timeout, source_address=bound)
        return self.connections[source]

    def forget(self, source):
        connection = self.connections.pop(source, None)
        if connection:
            connection.close()

    def ask(self, connection, kind, number, key, ident):
        """One request and its whole response: status, server, and "ok" or what is wrong."""
        options = self.shared.options
        headers, body, method = {}, None, "GET"
        path = options.path.replace("{k}", str(key)).replace("{n}", str(number))
        if options.header:
            name, value = options.header.replace("{k}", str(key)).split(":", 1)
            headers[name] = value.strip()
        if kind in ("big", "abort", "slow"):
            path = f"/big/{BIG_BYTES + number % 1000}/{'x' * (number % 2)}"
        elif kind in ("post", "chunked", "upload"):
            method, headers["X-Id"] = "POST", ident
            body = random.randbytes(BIG_BYTES if kind == "upload" else random.randrange(1, BODY_BYTES))
        sent = body
        if kind == "upload":
            headers["Content-Length"], sent = str(len(body)), in_pieces(body)
        if kind == "chunked":
            sent = (body[at:at + 4000] for at in range(0, len(body), 4000))
        connection.request(method, path, body=sent, headers=headers)
        response = connection.getresponse()
        server = response.headers.get("X-Served-By", "-")
        if kind == "abort":
            response.read(10_000)
            self.forget(f"127.0.0.{key + 2}" if options.sources else None)
            return response.status, server, "ok"
        content = response.read() if kind != "slow" else slowly(response)
        if not 200 <= response.status < 300:
            return response.status, server, f"status {response.status}"
        expected = content
        if body is not None:
            expected = hashlib.sha256(body).hexdigest().encode() + b"\n"
        elif options.check or kind in ("big", "slow"):
            expected = body_of(path)
        return response.status, server, "ok" if content == expected else "wrong body"


def in_pieces(body):
    """The body of an upload that takes about half a second."""
    for at in range(0, len(body), BIG_BYTES // 50):
        yield body[at:at + BIG_BYTES // 50]
        time.sleep(0.01)


def slowly(response):
    """The body, by a reader that takes about half a second."""
    pieces = []
    while piece := response.read(BIG_BYTES // 50):
        pieces.append(piece)
        time.sleep(0.01)
    return b"".join(pieces)


def watch(run, server, share):
    """Ends the run once `server` has answered `share` of the last half second's requests."""
    seen = 0
    while not run.stop.wait(0.1):
        since = time.time() - 0.5
        with run.lock:
            last = [done.server for done in run.done[-4000:] if done.start >= since]
        if len(last) >= 20 and last.count(server) >= share * len(last):
            seen += 1
            if seen == 1:
                print("share_reached", f"{time.time():.3f}")
                run.stop.set()


def report(run, seconds):
    done = run.done
    times = sorted(one.ms for one in done) or [0]
    failed = [one for one in done if one.outcome != "ok"]
    figures = {"requests": len(done), "failed": len(failed)}
    for kind in dict.fromkeys(run.kinds):
        figures[f"failed_{kind}"] = sum(one.kind == kind for one in failed)
    figures |= {
        "wrong": sum(one.outcome == "wrong body" for one in failed),
        "seconds": f"{seconds:.2f}",
        "rate": f"{len(done) / max(seconds, 0.001):.0f}",
        "p50_ms": f"{times[len(times) // 2]:.2f}",
        "p99_ms": f"{times[len(times) * 99 // 100]:.2f}",
        "max_ms": f"{times[-1]:.1f}",
    }
    for name, figure in figures.items():
        print(name, figure)
    count = collections.Counter
    for status, number in sorted(count(one.status for one in done).items()):
        print("status", status, number)
    for server, number in sorted(count(one.server for one in done).items()):
        print("served", server, number)
    if run.options.keys > 1:
        for (key, server), number in sorted(count((one.key, one.server) for one in done).items()):
            print("key", key, server, number)
    for text, number in count(one.outcome for one in failed).most_common(8):
        print("error", number, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the balancer, http://host:port")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=0, help="in all; 0: no limit")
    parser.add_argument("--seconds", type=float, default=0, help="0: no limit")
    parser.add_argument("--rate", type=float, default=0, help="requests per second at most, in all")
    parser.add_argument("--path", default="/", help="{n}: the request's number, {k}: its key")
    parser.add_argument("--keys", type=int, default=1, help="number of keys, used in turn")
    parser.add_argument("--header", help="a field for every request, with {k}")
    parser.add_argument("--sources", action="store_true", help="a loopback address of its own per key")
    parser.add_argument("--mix", default="get=1", help="shares of get, big, slow, post, chunked, upload, abort")
    parser.add_argument("--check", action="store_true", help="bodies are those of backend.py")
    parser.add_argument("--fresh", action="store_true", help="a connection per request")
    parser.add_argument("--timeout", type=float, default=15, help="seconds")
    parser.add_argument("--record", help="file for a line per request")
    parser.add_argument("--until-share", help="PORT=SHARE: end once that server has that share")
    options = parser.parse_args()
    if not options.requests and not options.seconds:
        parser.error("give --requests or --seconds")
    run = Run(options)
    signal.signal(signal.SIGTERM, lambda *_: run.stop.set())
    start = time.time()
    clients = [Client(run, index) for index in range(options.clients)]
    if options.until_share:
        server, share = options.until_share.split("=")
        threading.Thread(target=watch, args=(run, server, float(share)), daemon=True).start()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    run.stop.set()
    report(run, time.time() - start)
    if options.record:
        with open(options.record, "w") as out:
            for one in sorted(run.done):
                out.write(f"{one.start:.4f}\t{one.ms:.2f}\t{one.kind}\t{one.status}\t"
                          f"{one.outcome}\t{one.server}\t{one.ident}\n")


if __name__ == "__main__":
    main()
