"""Balancers among servers and clients that misbehave: chaos.py PROGRAM SECONDS SEED DIRECTORY.

See chaos.sh. Exit status 1 if a well-behaved client noticed anything, or something is left behind.

A well-behaved client asks for what may be repeated, on connections that are kept; like any client it
opens another one when a kept one was closed between two requests. The servers answer it well or not
at all: what has begun is not broken off, as no balancer could repair that.
"""

import asyncio
import hashlib
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time

HOST = "127.0.0.1"
DESCRIPTORS = 100
# Seconds that one balancer runs.
ROUND = 5
# Longest wait of a well-behaved client.
PATIENCE = 45
# Above what it was after the first requests.
MEMORY_KIB_MAX = 3 * 1024
STRATEGIES = ["rr", "first", "least-conn", "rand", "least-time", "p2c", "least-load", "rank", "source",
              "uri", "header"]
# In turn; strategies that need pairs or heads have no effect in the others.
MODES = ["http", "tcp", "http", "http", "redirect", "http"]
NOT_IN = {"tcp": ["uri", "header"], "redirect": ["least-conn", "p2c"], "http": []}


def body_of(path):
    return f"{path} {hashlib.sha256(path.encode()).hexdigest()}\n".encode()


def abort(writer):
    """Ends a connection with a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Server:
    """Answers well, or as its mood is. A steady one has no moods."""

    def __init__(self, mode, port, rng):
        self.mode, self.port, self.rng = mode, port, rng
        self.mood, self.changed, self.lock = "well", asyncio.Event(), asyncio.Lock()
        self.listener, self.writers = None, set()

    async def open(self):
        self.listener = await asyncio.start_server(self.serve, HOST, self.port, reuse_address=True)

    async def set_mood(self, mood):
        # Opening takes a while.
        async with self.lock:
            await self.change_to(mood)

    async def change_to(self, mood):
        self.mood = mood
        self.changed.set()
        self.changed = asyncio.Event()
        if mood == "gone" and self.listener:
            self.listener.close()
            self.listener = None
            if self.mode != "tcp":
                for writer in list(self.writers):
                    abort(writer)
        elif mood != "gone" and not self.listener:
            await self.open()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            await (self.echo if self.mode == "tcp" else self.answer)(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def echo(self, reader, writer):
        while data := await reader.read(65536):
            if data.startswith(b"FLOOD"):
                for _ in range(200):
                    writer.write(b"x" * 65536)
                    await writer.drain()
            writer.write(data)
            await writer.drain()

    async def answer(self, reader, writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            path = lines[0].split(" ")[1]
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            while self.mood == "hangs":
                await self.changed.wait()
            if self.mood == "resets":
                return abort(writer)
            if self.mood == "garbage":
                writer.write(b"\0garbage\r\n\r\n")
                return await writer.drain()
            await self.skip_body(reader, fields)
            if self.mood == "fails" and not path.startswith("/good"):
                writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            elif path.startswith("/big"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n")
                for _ in range(40):
                    writer.write(b"x" * 100_000)
                    await writer.drain()
            elif path.startswith("/early"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return await writer.drain()
            else:
                body = b"0\n0\n" if path == "/healthcheck" else body_of(path)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            # Closes now and then without saying so.
            if self.rng.random() < 0.02:
                return None

    async def skip_body(self, reader, fields):
        if "chunked" not in fields.get("transfer-encoding", ""):
            return await reader.readexactly(int(fields.get("content-length", 0)))
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        while await reader.readline() not in (b"\r\n", b""):
            pass


class Round:
    """One balancer and all around it."""

    def __init__(self, program, number, seed, directory):
        self.program, self.number = program, number
        self.rng = random.Random(f"{seed}.{number}")
        self.directory = os.path.join(directory, f"round{number}")
        os.mkdir(self.directory)
        self.mode = MODES[number % len(MODES)]
        order = random.Random(seed).sample(STRATEGIES, len(STRATEGIES))
        usable = [it for it in order if it not in NOT_IN[self.mode]]
        self.strategy = usable[number % len(usable)]
        self.complaints, self.asked, self.bad, self.edits, self.moods = [], 0, 0, 0, 0
        self.over = asyncio.Event()
        # Well-behaved sessions that are not known to have reached a server.
        self.connecting, self.may_connect = 0, asyncio.Event()
        self.may_connect.set()

    def file(self, name):
        return os.path.join(self.directory, name)

    def options(self):
        """What is drawn, and what makes the faults of a round show within it."""
        options = ["-m", self.mode, "-s", self.strategy, "-c", "300ms", "--health-timeout", "300ms"]
        if self.strategy == "header":
            options += ["--hash-field", "User-Agent"]
        if self.mode != "redirect":
            options += ["--pool-timeout", "1s"] if self.mode == "http" else []
            if self.rng.random() < 0.3:
                options += ["-N", str(self.rng.choice([4, 8, 16]))]
        if self.mode == "http" and self.rng.random() < 0.5:
            options += ["--stream-requests"]
        if self.rng.random() < 0.6:
            options += ["-l", self.file("access"), "--log-format", self.rng.choice(["json", "combined"])]
        if self.rng.random() < 0.5:
            options += ["--record", self.file("record")]
        if self.rng.random() < 0.5:
            options += ["--admin", f"{HOST}:0"]
        if self.rng.random() < 0.3:
            options += ["-v"]
        return options

    def complain(self, text):
        self.complaints.append(f"round {self.number}, {self.seconds():.2f} s: {text}")

    def seconds(self):
        return time.monotonic() - self.begun

    async def run(self, seconds):
        self.begun = time.monotonic()
        self.servers = []
        for _ in range(4):
            self.servers.append(Server(self.mode, free_port(), self.rng))
            await self.servers[-1].open()
        self.write_list(self.lines({}))
        options = self.options()
        self.start([f"{HOST}:0", "-f", self.file("servers"), *options])
        try:
            await self.find_addresses("--admin" in options)
            await self.disturb(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for server in self.servers:
                await server.set_mood("gone")
        shown = " ".join(options).replace(self.directory + "/", "")
        print(f"round {self.number}: {shown}: {self.asked} requests of well-behaved clients, "
              f"{self.bad} bad clients, {self.edits} edits, {self.moods} moods, "
              f"{self.descriptors} descriptors, {self.growth:+} KiB", flush=True)
        return self.complaints

    def start(self, arguments):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

        with open(self.file("err"), "wb") as err:
            self.process = subprocess.Popen([self.program, *arguments], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=err, preexec_fn=few)

    def said(self):
        with open(self.file("err"), encoding="utf-8", errors="replace") as file:
            return file.read()

    async def find_addresses(self, has_admin):
        while True:
            ports = {}
            for line in self.said().splitlines():
                for word, name in (("listening on ", "clients"), ("admin on ", "admin")):
                    if word in line:
                        ports[name] = int(line.split(f"//{HOST}:")[1].split(",")[0].split("/")[0])
            if len(ports) == 1 + has_admin:
                self.port, self.admin = ports["clients"], ports.get("admin")
                return
            if self.process.poll() is not None or self.seconds() > 20:
                raise SystemExit(f"the balancer did not start: {self.said()}")
            await asyncio.sleep(0.02)

    async def disturb(self, seconds):
        await asyncio.wait_for(self.innocent(random.Random(1), requests=5), PATIENCE)
        await asyncio.sleep(0.2)
        descriptors, memory = self.count_descriptors(), self.resident()
        innocents = [asyncio.create_task(self.innocent(random.Random(self.rng.random())))
                     for _ in range(4)]
        if self.admin:
            innocents.append(asyncio.create_task(self.scrape()))
        faults = [asyncio.create_task(self.change_moods(random.Random(self.rng.random()))),
                  asyncio.create_task(self.edit_list(random.Random(self.rng.random())))]
        others = [asyncio.create_task(self.misbehave(random.Random(self.rng.random())))
                  for _ in range(self.rng.choice([4, 12, 12, 40]))]
        await asyncio.sleep(seconds)
        self.over.set()
        await asyncio.gather(*faults)
        for server in self.servers:
            await server.set_mood("well")
        for task in innocents:
            try:
                await asyncio.wait_for(task, PATIENCE)
            except asyncio.TimeoutError:
                self.complain("a well-behaved client waits for ever")
        for task in others:
            task.cancel()
        for error in await asyncio.gather(*others, return_exceptions=True):
            if isinstance(error, Exception):
                self.complain(f"this script is wrong: {error!r}")
        await self.settle(descriptors, memory)

    async def settle(self, descriptors, memory):
        """Nothing is left behind."""
        if self.process.poll() is not None:
            self.complain(f"it ended with {self.process.returncode}: {self.said()[-500:]}")
            self.descriptors, self.growth = 0, 0
            return
        ends = time.monotonic() + 15
        while True:
            self.descriptors = self.count_descriptors()
            self.growth = self.resident() - memory
            is_back = self.descriptors <= descriptors + 3 and self.growth <= MEMORY_KIB_MAX
            if is_back or time.monotonic() > ends:
                break
            await asyncio.sleep(0.1)
        if not is_back:
            self.complain(f"{self.descriptors} descriptors are open, {descriptors} before, and "
                          f"memory has grown by {self.growth} KiB")
        self.process.terminate()
        try:
            status = await asyncio.to_thread(self.process.wait, 40)
        except subprocess.TimeoutExpired:
            status = "no end"
        if status != 0:
            self.complain(f"it was to stop and has ended with {status}: {self.said()[-500:]}")
        if "panicked" in self.said():
            self.complain(f"a panic: {self.said()[-1000:]}")
        if os.path.exists(self.file("record")):
            replay = [self.program, "replay", self.file("record")]
            done = await asyncio.to_thread(subprocess.run, replay, capture_output=True, check=False)
            if done.returncode != 0:
                self.complain(f"the record cannot be replayed: {done.stderr[-300:]}")

    def count_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    # The operator.

    def lines(self, words):
        """A line for each server; `words` by its index, None where it is left out."""
        chosen = [(server, words.get(at, "")) for at, server in enumerate(self.servers)]
        return [f"{HOST}:{server.port} {word}".strip() for server, word in chosen if word is not None]

    def write_list(self, lines):
        with open(self.file("new"), "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        os.rename(self.file("new"), self.file("servers"))

    async def edit_list(self, rng):
        while not self.over.is_set():
            await asyncio.sleep(rng.uniform(0.1, 0.8))
            # One steady server is always there and takes requests.
            kept = rng.choice([0, 1])
            words = {at: rng.choice(["", "", "", "weight=5", "max=2", "backup", "drain", "down", None])
                     for at in range(4) if at != kept}
            lines = self.lines(words)
            if rng.random() < 0.1:
                lines.append("no address")
            self.write_list(lines)
            self.edits += 1
            if rng.random() < 0.7:
                self.send(signal.SIGHUP)
            if rng.random() < 0.2 and os.path.exists(self.file("access")):
                os.rename(self.file("access"), self.file("access.old"))
                self.send(signal.SIGUSR1)

    def send(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    async def change_moods(self, rng):
        moods = ["well", "gone"]
        if self.mode != "tcp":
            moods += ["hangs", "resets", "garbage", "fails"]
        while not self.over.is_set():
            mood = rng.choice(moods)
            if self.mode == "tcp" and mood == "gone":
                # What its kernel has accepted is reset then, which nobody could repair.
                self.may_connect.clear()
                while self.connecting:
                    await asyncio.sleep(0.01)
            await self.servers[rng.choice([2, 3])].set_mood(mood)
            self.may_connect.set()
            self.moods += 1
            await asyncio.sleep(rng.uniform(0.05, 0.6))

    # Clients.

    async def innocent(self, rng, requests=None):
        """Asks until the round is over; each response must be whole and right."""
        kept = None
        while not self.over.is_set() if requests is None else requests > 0:
            requests = requests and requests - 1
            path = f"/good/{rng.randrange(1 << 30)}"
            is_fresh = kept is None
            if is_fresh:
                await self.may_connect.wait()
                self.connecting += 1
            began = self.seconds()
            try:
                kept = kept or await asyncio.open_connection(HOST, self.port)
                problem = await asyncio.wait_for(self.ask(*kept, path, rng), PATIENCE)
            except asyncio.TimeoutError:
                problem = f"no response after {PATIENCE} s"
            except (EOFError, OSError) as error:
                # It may close what is idle; with part of a response that is not what it does.
                is_partial = isinstance(error, asyncio.IncompleteReadError) and error.partial
                problem = None if not is_fresh and not is_partial else repr(error)
                self.close(kept)
                kept = None
            self.connecting -= is_fresh
            self.asked += 1
            if problem:
                self.complain(f"{path}, begun at {began:.2f} s on a "
                              f"{'new' if is_fresh else 'kept'} connection: {problem}")
                self.close(kept)
                kept = None
            if kept and (rng.random() < 0.2 or kept[1].is_closing()):
                self.close(kept)
                kept = None
            await asyncio.sleep(rng.uniform(0.005, 0.05))
        self.close(kept)

    @staticmethod
    def close(kept):
        if kept:
            kept[1].close()

    async def ask(self, reader, writer, path, rng):
        """One request; what is wrong with its response."""
        if self.mode == "tcp":
            writer.write(path.encode() + b"\n")
            line = await reader.readuntil(b"\n")
            return None if line == path.encode() + b"\n" else f"the wrong bytes: {line[:99]!r}"
        body = b"" if self.mode == "redirect" or rng.random() < 0.7 else b"b" * rng.choice([3, 3000])
        # Each may be repeated.
        method = "PUT" if body else "GET"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        content = await reader.readexactly(length)
        if "connection: close" in head:
            writer.close()
        if self.mode == "redirect":
            is_right = head.startswith("http/1.1 301") and f"{path}\r\n" in head
        else:
            is_right = head.startswith("http/1.1 200") and content == body_of(path)
        return None if is_right else f"{head!r} {content[:99]!r}"

    async def scrape(self):
        """A monitor: the admin address answers whatever happens."""
        while not self.over.is_set():
            for path in ("/metrics", "/status", "/live"):
                try:
                    reader, writer = await asyncio.open_connection(HOST, self.admin)
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
                                 .encode())
                    text = await asyncio.wait_for(reader.read(-1), PATIENCE)
                    writer.close()
                except (OSError, asyncio.TimeoutError) as error:
                    self.complain(f"the admin address, {path}: {error!r}")
                    continue
                if not text.startswith(b"HTTP/1.1 200 "):
                    self.complain(f"the admin address, {path}: {text[:99]!r}")
            await asyncio.sleep(0.3)

    async def misbehave(self, rng):
        """One bad client after another."""
        kinds = [self.silent, self.half_head, self.garbage, self.gone_at_once, self.slow_reader,
                 self.gone_in_response, self.half_upload, self.slow_upload, self.pipeline]
        if self.mode == "tcp":
            kinds = [self.garbage, self.gone_at_once, self.slow_reader, self.pipeline]
        while not self.over.is_set():
            writer = None
            try:
                reader, writer = await asyncio.open_connection(HOST, self.port)
                self.bad += 1
                await rng.choice(kinds)(reader, writer, rng)
            except (OSError, EOFError, asyncio.TimeoutError):
                pass
            finally:
                if writer and rng.random() < 0.5:
                    abort(writer)
                elif writer:
                    writer.close()
            await asyncio.sleep(rng.uniform(0, 0.2))

    async def silent(self, _reader, _writer, rng):
        await asyncio.sleep(rng.uniform(0, 3))

    async def half_head(self, _reader, writer, rng):
        writer.write(b"GET /half HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        for _ in range(rng.randrange(20)):
            writer.write(b"x")
            await asyncio.sleep(0.1)

    async def garbage(self, reader, writer, rng):
        writer.write(rng.choice([rng.randbytes(300), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                 b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 500,
                                 b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]))
        await asyncio.wait_for(reader.read(100), 1)

    async def gone_at_once(self, _reader, writer, rng):
        writer.write(b"GET /early HTTP/1.1\r\nHost: x\r\n\r\n"[:rng.randrange(40)])

    async def slow_reader(self, reader, writer, rng):
        writer.transport.set_write_buffer_limits(0)
        writer.write(b"FLOOD\n" if self.mode == "tcp" else b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.transport.pause_reading()
        await asyncio.sleep(rng.uniform(0, 2))

    async def gone_in_response(self, reader, writer, rng):
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(rng.choice([1, 1000, 300_000]))

    async def half_upload(self, _reader, writer, rng):
        length = rng.choice([10, 30_000, 1_000_000])
        writer.write(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
        writer.write(b"x" * rng.randrange(length))
        await asyncio.sleep(rng.uniform(0, 2))

    async def slow_upload(self, _reader, writer, rng):
        writer.write(b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(rng.randrange(10)):
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.3)

    async def pipeline(self, reader, writer, rng):
        count = rng.randrange(1, 50)
        writer.write(b"GET /early HTTP/1.1\r\nHost: x\r\n\r\nGET /any HTTP/1.1\r\nHost: x\r\n\r\n" * count)
        await asyncio.wait_for(reader.read(1000), 1)


def free_port():
    """Below the range from which the kernel takes ports for outgoing connections."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as it:
            try:
                it.bind((HOST, port))
            except OSError:
                continue
            return port


async def main():
    program, seconds, seed, directory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    print(f"seed {seed}: chaos.sh {seconds} --seed {seed}", flush=True)
    rounds = max(1, round(seconds / ROUND))
    complaints = []
    for number in range(rounds):
        complaints += await Round(program, number, seed, directory).run(seconds / rounds)
    for complaint in complaints[:20]:
        print(f"FAIL: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
