"""Clients of sticky sessions: each keeps its cookie and asks again and again, until SIGTERM. Prints
`answered` once each has been. At the end follows one line for each client with the servers that
answered it, in their order, and which requests failed.

Usage: sticky_clients.py HOST:PORT CLIENTS
"""

import http.client
import signal
import sys
import threading
import time

place, count = sys.argv[1], int(sys.argv[2])
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())


def run(visits):
    cookie, connection = None, None
    while not ended.is_set():
        try:
            connection = connection or http.client.HTTPConnection(place, timeout=10)
            connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
            response = connection.getresponse()
            response.read()
            server = response.getheader("X-Server", "?")
            if response.status != 200:
                server = f"failed:{response.status}"
            if response.getheader("Set-Cookie"):
                cookie = response.getheader("Set-Cookie").split(";")[0]
            if response.getheader("Connection") == "close":
                connection = None
        except (OSError, http.client.HTTPException) as error:
            server, connection = f"failed:{type(error).__name__}", None
        if not visits or visits[-1] != server:
            visits.append(server)
        time.sleep(0.02)


clients = [[] for _ in range(count)]
threads = [threading.Thread(target=run, args=(visits,)) for visits in clients]
for thread in threads:
    thread.start()
while not all(clients) and not ended.wait(0.02):
    pass
print("answered", flush=True)
ended.wait()
for thread in threads:
    thread.join()
for visits in clients:
    print(*visits)
