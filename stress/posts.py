"""POSTs at random intervals over kept connections; prints how many, how many failed, and how many
in 100 opened a connection to the server, by the balancer's own count.

    posts.py PORT ADMIN_PORT (--posts COUNT | --seconds SECONDS) --clients COUNT --pause LEAST:MOST
"""

import argparse
import http.client
import itertools
import random
import sys
import threading
import time
import urllib.request

OPENED = "loadbalancer_backend_connections_opened_total"


class Client(threading.Thread):
    """One client: a POST, a pause, the next POST."""

    def __init__(self, options, numbers, ends):
        super().__init__()
        self.options, self.numbers, self.ends = options, numbers, ends
        self.sent, self.failures = 0, []

    def run(self):
        options, connection = self.options, None
        while next(self.numbers) < (options.posts or float("inf")):
            pause = random.uniform(*options.pause)
            if time.monotonic() + pause >= self.ends:
                return
            time.sleep(pause)
            connection = connection or http.client.HTTPConnection("127.0.0.1", options.port, timeout=30)
            self.sent += 1
            try:
                connection.request("POST", "/post", body=b"x" * random.randrange(1, 2000))
                response = connection.getresponse()
                response.read()
                if response.status != 204:
                    self.failures.append(f"status {response.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                connection = None


def opened(admin):
    """Connections that the balancer has opened so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(OPENED))


def main():
    span = lambda text: tuple(float(part) for part in text.split(":"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("admin", type=int)
    parser.add_argument("--posts", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--pause", type=span, required=True)
    options = parser.parse_args()
    ends = time.monotonic() + options.seconds if options.seconds else float("inf")
    before, numbers = opened(options.admin), itertools.count()
    clients = [Client(options, numbers, ends) for _ in range(options.clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    sent = sum(client.sent for client in clients)
    failures = [failure for client in clients for failure in client.failures]
    connects = opened(options.admin) - before
    for failure in failures[:5]:
        print(failure, file=sys.stderr)
    print(sent, len(failures), round(100 * connects / max(sent, 1), 2))


if __name__ == "__main__":
    main()
