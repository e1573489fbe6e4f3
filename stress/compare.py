#!/usr/bin/env python3
"""This program, HAProxy, nginx and a bare forwarder side by side: CPU time per request.

Started by compare.sh, which builds what is needed. Each measure runs in short slices, one proxy
after the other, in several rounds; what is compared are the ratios within one round, so that a
machine that is slower for a while slows all of them.
"""

import argparse
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

OTHERS = ["floor", "haproxy", "nginx"]
TARGETS = ["ours"] + OTHERS
# This program without an access log, beside those that have one.
UNLOGGED = "unlogged"
# What listeners are made for, each with the mode of the forwarder that is the least for it.
KINDS = {"http": "pairs", "log": "pairs", "new": "requests", "one": "once", "big": "splice",
         "tcp": "pairs"}
SLICE_SECONDS_MAX = 60


@dataclass(frozen=True)
class Measure:
    """What one slice does; a row of the table."""

    name: str
    kind: str  # which listeners take part, see KINDS
    load: str  # arguments of the load
    requests: int  # per slice
    bars: tuple  # ratio to the floor, to HAProxy, to nginx: at most; of MB: at least
    megabytes: float = 0  # per request: then the figure is MB per CPU second

    @property
    def unit(self):
        return "MB/CPU s" if self.megabytes else "CPU µs/req"

    def figure(self, cpu_seconds):
        if self.megabytes:
            return self.megabytes * self.requests / cpu_seconds
        return cpu_seconds / self.requests * 1e6

    def meets(self, ratio, bar):
        # What the table shows decides.
        return round(ratio, 2) >= bar if self.megabytes else round(ratio, 2) <= bar


SMALL = (1.15, 0.55, 0.70)
MIDDLE = (1.15, 0.50, 0.65)
BROWSER = (1.20, 0.50, 0.60)
LOG = (1.25, 0.60, 0.85)
NEW = (1.20, 0.75, 0.80)
BIG = (0.85, 1.15, 2.5)

MEASURES = [
    Measure("get-128-1", "http", "-c 1", 3000, SMALL),
    Measure("get-128-32", "http", "-c 32", 12000, SMALL),
    Measure("get-128-256", "http", "-c 256", 12000, SMALL),
    Measure("get-1k-32", "http", "-c 32 -u /1024", 12000, MIDDLE),
    Measure("get-16k-32", "http", "-c 32 -u /16384", 8000, MIDDLE),
    Measure("browser-128-32", "http", "-c 32 -b", 10000, BROWSER),
    Measure("browser-1k-32", "http", "-c 32 -b -u /1024", 10000, BROWSER),
    Measure("post-128-1", "http", "-c 1 -p 128", 3000, SMALL),
    Measure("post-128-32", "http", "-c 32 -p 128", 12000, SMALL),
    Measure("post-4k-1", "http", "-c 1 -p 4096", 3000, SMALL),
    Measure("post-4k-32", "http", "-c 32 -p 4096", 12000, SMALL),
    Measure("log-128-32", "log", "-c 32", 12000, LOG),
    Measure("new-128-1", "one", "-c 1 -x", 1500, NEW),
    Measure("new-128-32", "new", "-c 32 -x", 4000, NEW),
    Measure("answer-1m-4", "big", "-c 4 -u /1048576", 400, BIG, 1.048576),
    Measure("answer-64m-4", "big", "-c 4 -u /67108864", 8, BIG, 67.108864),
    Measure("post-1m-4", "big", "-c 4 -p 1048576", 400, BIG, 1.048576),
    Measure("upload-1m-4", "big", "-c 4 -s 1048576", 400, BIG, 1.048576),
    Measure("upload-64m-4", "big", "-c 4 -s 67108864", 8, BIG, 67.108864),
    Measure("tcp-128-32", "tcp", "-c 32 -r 128", 12000, (1.10, 0.85, 1.0)),
    Measure("tcp-16k-32", "tcp", "-c 32 -r 16384", 8000, (1.10, 0.60, 0.75)),
]

HAPROXY = """
global
    nbthread 1
    maxconn 4000
    tune.pipesize 1048576
defaults
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    timeout http-keep-alive 120s
    option http-keep-alive
    http-reuse always
listen http
    mode http
    bind 127.0.0.1:{http} backlog 4096
    server s 127.0.0.1:{backend}
listen big
    mode http
    option splice-auto
    bind 127.0.0.1:{big} backlog 4096
    server s 127.0.0.1:{backend}
listen tcp
    mode tcp
    bind 127.0.0.1:{tcp} backlog 4096
    server s 127.0.0.1:{raw}
"""

NGINX = """
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 16000;
pid {home}/nginx.pid;
error_log {home}/nginx.err crit;
{stream_module}
events {{ worker_connections 8000; accept_mutex off; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_max_temp_file_size 0;
    upstream backend {{
        server 127.0.0.1:{backend};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{http} backlog=4096;
        proxy_buffers 8 16k;
        location / {{ proxy_pass http://backend; }}
    }}
    server {{
        listen 127.0.0.1:{log} backlog=4096;
        access_log {home}/nginx.access combined buffer=64k flush=1s;
        proxy_buffers 8 16k;
        location / {{ proxy_pass http://backend; }}
    }}
    server {{
        listen 127.0.0.1:{big} backlog=4096;
        proxy_buffers 8 32k;
        proxy_buffer_size 32k;
        proxy_busy_buffers_size 128k;
        client_body_buffer_size 128k;
        proxy_request_buffering off;
        location / {{ proxy_pass http://backend; }}
    }}
}}
{stream}
"""

NGINX_STREAM = """
stream {{
    server {{
        listen 127.0.0.1:{tcp} backlog=4096;
        proxy_buffer_size 32k;
        proxy_timeout 600s;
        proxy_pass 127.0.0.1:{raw};
    }}
}}
"""


class Failed(Exception):
    """A failure, as a message for people."""


class Bench:
    """The processes, and how to measure one of them."""

    def __init__(self, tools, program):
        self.tools = Path(tools)
        self.program = program
        self.home = tempfile.mkdtemp(prefix="compare-")
        self.children = []
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise Failed("two CPUs are needed: one for the proxy, one for load and backend")
        self.proxy_cpu, self.load_cpu = cpus[0], cpus[1]
        os.sched_setaffinity(0, {self.load_cpu})
        self.notes = []
        self.places = {target: {} for target in TARGETS + [UNLOGGED]}  # kind -> (pid, port)

    def spawn(self, cpu, *command, **streams):
        def pinned():
            os.sched_setaffinity(0, {cpu})
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # if we die, so do they

        streams.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen([str(c) for c in command], preexec_fn=pinned, **streams)
        self.children.append(child)
        return child

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.kill()
            child.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self):
        http, raw = self.start_backend()
        self.start_floor(http, raw)
        self.start_ours(http, raw)
        listeners = ["http", "big", "tcp", "log"]
        ports = dict(zip(listeners, free_ports(4)), backend=http, raw=raw)
        self.start_haproxy(ports)
        ports.update(zip(listeners, free_ports(4)))
        self.start_nginx(ports)

    def start_backend(self):
        """Its ports, for HTTP and for raw messages."""
        backend = self.spawn(
            self.load_cpu, self.tools / "backend", 0, 0, stdout=subprocess.PIPE, text=True
        )
        return map(int, read_line(backend.stdout, "the backend").split())

    def start_floor(self, http, raw):
        for kind, mode in KINDS.items():
            child = self.spawn(
                self.proxy_cpu, self.tools / "forwarder", mode, 0, raw if kind == "tcp" else http,
                stdout=subprocess.PIPE, text=True,
            )
            port = int(read_line(child.stdout, "the forwarder"))
            self.places["floor"][kind] = (child.pid, port)

    def start_ours(self, http, raw):
        place = self.start_program("-b", f"127.0.0.1:{http}")
        self.places["ours"].update(dict.fromkeys(["http", "new", "one", "big"], place))
        self.places[UNLOGGED]["log"] = place
        log = Path(self.home, "ours.access")
        self.places["ours"]["log"] = self.start_program("-b", f"127.0.0.1:{http}", "-l", log)
        self.places["ours"]["tcp"] = self.start_program("-b", f"127.0.0.1:{raw}", "-m", "tcp")

    def start_program(self, *options):
        """Its pid and port."""
        child = self.spawn(
            self.proxy_cpu, self.program, "127.0.0.1:0", "--health", "off", *options,
            stderr=subprocess.PIPE, text=True,
        )
        line = read_line(child.stderr, "loadbalancer")
        found = re.search(r"://127\.0\.0\.1:(\d+)", line)
        if not found:
            raise Failed(f"loadbalancer did not start: {line.strip()}")
        return child.pid, int(found[1])

    def start_haproxy(self, ports):
        config = Path(self.home, "haproxy.cfg")
        config.write_text(HAPROXY.format(**ports))
        with open(Path(self.home, "haproxy.err"), "w+") as err:
            child = self.spawn(
                self.proxy_cpu, "haproxy", "-db", "-f", config, stdout=err, stderr=err
            )
        self.place("haproxy", child, ports)
        # It logs to a syslog server, not to a file.
        del self.places["haproxy"]["log"]

    def start_nginx(self, ports):
        module, stream = nginx_stream()
        if not stream:
            self.notes.append("nginx has no stream module here: no TCP row for it "
                              "(Debian: libnginx-mod-stream; or NGINX_STREAM_MODULE=FILE)")
        config = Path(self.home, "nginx.conf")
        config.write_text(NGINX.format(
            home=self.home, stream_module=module,
            stream=NGINX_STREAM.format(**ports) if stream else "", **ports,
        ))
        with open(Path(self.home, "nginx.err"), "w+") as err:
            child = self.spawn(
                self.proxy_cpu, "nginx", "-p", self.home, "-c", config, stdout=err, stderr=err
            )
        self.place("nginx", child, ports)
        if not stream:
            del self.places["nginx"]["tcp"]

    def place(self, target, child, ports):
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", ports["http"]), 1).close()
                break
            except OSError:
                if child.poll() is not None or time.monotonic() > deadline:
                    said = Path(self.home, f"{target}.err").read_text().strip()
                    raise Failed(f"{target} did not start: {said}") from None
                time.sleep(0.01)
        for kind in KINDS:
            port = ports["http" if kind in ("new", "one") else kind]
            self.places[target][kind] = (child.pid, port)

    def start_load(self, target, *words):
        """Clients that are connected and ready."""
        load = self.spawn(
            self.load_cpu, self.tools / "load", *words,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        if read_line(load.stdout, "the load", empty_is_fine=True).strip() != "ready":
            raise Failed(f"{target}: {load.stderr.read().strip()}")
        return load

    def slice(self, measure, target):
        """CPU seconds of the proxy for one slice, and what the clients saw."""
        pid, port = self.places[target][measure.kind]
        load = self.start_load(target, *measure.load.split(), "-n", measure.requests, port)
        try:
            before = cpu_seconds(pid)
            load.stdin.write("\n")
            load.stdin.flush()
            line = read_line(load.stdout, "the load", empty_is_fine=True)
            after = cpu_seconds(pid)
            if not line:
                raise Failed(f"{target}: {load.stderr.read().strip()}")
        finally:
            load.kill()
            load.wait()
            self.children.remove(load)
        requests, seconds, p50, p99, p999 = map(float, line.split())
        return {"cpu": after - before, "rps": requests / seconds, "p50": p50, "p99": p99,
                "p999": p999}


def cpu_seconds(pid):
    """User and system time of a process so far: what /proc/PID/stat shows, but in nanoseconds."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def read_line(stream, source, empty_is_fine=False):
    if not select.select([stream], [], [], SLICE_SECONDS_MAX)[0]:
        raise Failed(f"{source} printed nothing for {SLICE_SECONDS_MAX} s")
    line = stream.readline()
    if not line and not empty_is_fine:
        raise Failed(f"{source} did not start")
    return line


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def nginx_stream():
    """The line that loads nginx's stream module, and whether there is one."""
    places = [os.environ.get("NGINX_STREAM_MODULE"),
              "/usr/lib/nginx/modules/ngx_stream_module.so"]
    for place in places:
        if place and os.path.exists(place):
            return f"load_module {place};", True
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True).stderr
    return "", bool(re.search(r"--with-stream(\s|$)", built))


def measure_all(bench, measures, rounds):
    """Slices by measure and target; a target that fails is left out of that measure."""
    slices, failures = {}, []
    for measure in measures:
        taking_part = [t for t, places in bench.places.items() if measure.kind in places]
        rows = slices[measure.name] = {t: [] for t in taking_part}
        for turn in range(rounds):
            shift = turn % len(taking_part)
            for target in taking_part[shift:] + taking_part[:shift]:
                if target not in rows:
                    continue
                try:
                    rows[target].append(bench.slice(measure, target))
                except Failed as why:
                    failures.append(f"{measure.name}: {why}")
                    del rows[target]
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return slices, failures


def summary(measure, rows):
    """Medians over the rounds; ratios are taken within a round first."""
    result = {"measure": measure.name, "unit": measure.unit, "targets": {}, "ratios": {}}
    for target, each in rows.items():
        figures = [measure.figure(one["cpu"]) for one in each]
        result["targets"][target] = {
            "figure": median(figures),
            "figures": figures,
            **{key: median(one[key] for one in each) for key in ["rps", "p50", "p99", "p999"]},
        }
    for other, bar in zip(OTHERS, measure.bars):
        if other not in rows or "ours" not in rows:
            continue
        mine, theirs = (result["targets"][t]["figures"] for t in ("ours", other))
        ratio = median(a / b for a, b in zip(mine, theirs))
        result["ratios"][other] = {"ratio": ratio, "bar": bar, "met": measure.meets(ratio, bar)}
    result["met"] = len(result["ratios"]) > 0 and all(r["met"] for r in result["ratios"].values())
    return result


def show(results):
    def number(value):
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"

    def figure(result, target):
        found = result["targets"].get(target)
        return number(found["figure"]) if found else "-"

    def ratio(result, other):
        found = result["ratios"].get(other)
        if not found:
            return "-"
        sign = "≥" if result["unit"].startswith("MB") else "≤"
        return f"{found['ratio']:.2f} {sign} {found['bar']:.2f}" + (" " if found["met"] else "!")

    print("| measure         | unit       |   ours |  floor | haproxy |  nginx "
          "| to floor      | to haproxy    | to nginx      | bars |")
    print("|-----------------|------------|-------:|-------:|--------:|-------:"
          "|--------------:|--------------:|--------------:|------|")
    for r in results:
        cells = [f"{figure(r, t):>{w}}" for t, w in zip(TARGETS, [6, 6, 7, 6])]
        cells += [f"{ratio(r, o):>13}" for o in OTHERS]
        print(f"| {r['measure']:<15} | {r['unit']:<10} | " + " | ".join(cells)
              + f" | {'met' if r['met'] else 'NO':<4} |")
    print()
    print("Seen by the clients, each proxy alone on its CPU (medians of the rounds):")
    print()
    print("| measure         |" + "".join(f" {t + ': req/s  p50 µs  p99 µs':>30} |" for t in TARGETS))
    print("|-----------------|" + (("-" * 31) + ":|") * 4)
    for r in results:
        cells = []
        for target in TARGETS:
            f = r["targets"].get(target)
            cells.append(f"{f['rps']:>14,.0f} {f['p50']:>7,.0f} {f['p99']:>7,.0f}" if f else "-")
        print(f"| {r['measure']:<15} |" + "".join(f" {cell:>30} |" for cell in cells))


def cost_of_log(results):
    """What the access log adds to a request, in µs: the median of the differences within a round."""
    for result in results:
        if UNLOGGED in result["targets"]:
            logged, plain = (result["targets"][t]["figures"] for t in ("ours", UNLOGGED))
            return median(a - b for a, b in zip(logged, plain))
    return None


def noise(slices):
    """How much the floor itself varied from round to round: the middle half, in percent."""
    spreads = []
    for rows in slices.values():
        each = sorted(one["cpu"] for one in rows.get("floor", []))
        if len(each) >= 4:
            spreads.append((each[3 * len(each) // 4] - each[len(each) // 4]) / median(each) * 100)
    return median(spreads) if spreads else 0.0


def version(*command):
    run = subprocess.run(command, capture_output=True, text=True)
    return (run.stdout + run.stderr).strip().splitlines()[0]


def machine():
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else os.uname().machine
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return f"{model}, {os.cpu_count()} CPUs, Linux {os.uname().release}, TCP {congestion}"


def parse(parser, rounds):
    """Adds what every comparison takes, and parses."""
    parser.add_argument("--rounds", type=int, default=rounds,
                        help=f"slices of each [default: {rounds}]")
    parser.add_argument("--json", metavar="FILE", help="write all figures here as well")
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 1 <= options.rounds <= 1000:
        parser.error("--rounds is 1 to 1000")
    return options


def describe(options, seconds, *others):
    """Says when, where and what was measured; returns it for the JSON file."""
    about = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "programs": [version(options.program, "--version"), *others],
        "rounds": options.rounds,
        "seconds": round(seconds),
        "load_average": os.getloadavg()[0],
    }
    print(f"{about['date']}, {about['machine']}")
    print("; ".join(about["programs"]))
    print(f"{about['rounds']} rounds in {about['seconds']} s.\n")
    return about


def keep(options, figures):
    if options.json:
        with open(options.json, "w") as file:
            json.dump(figures, file, indent=1)
            file.write("\n")


def run(name, main):
    """A whole comparison, from its first line to its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        sys.exit(main())
    except Failed as why:
        sys.exit(f"{name}: {why}")
    except KeyboardInterrupt:
        sys.exit(130)


def main():
    parser = argparse.ArgumentParser(
        prog="compare.sh", description=__doc__.splitlines()[0],
        epilog="measures: " + " ".join(m.name for m in MEASURES),
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE",
                        help="these only; a prefix selects all measures that begin with it")
    options = parse(parser, rounds=5)
    prefixes = tuple(options.measures) or ("",)
    measures = [m for m in MEASURES if m.name.startswith(prefixes)]
    unknown = [p for p in prefixes if not any(m.name.startswith(p) for m in MEASURES)]
    if unknown:
        parser.error(f"no measure is called {unknown[0]}")

    began = time.monotonic()
    bench = Bench(options.tools, options.program)
    try:
        bench.start()
        slices, failures = measure_all(bench, measures, options.rounds)
    finally:
        bench.close()
    results = [summary(m, slices[m.name]) for m in measures]
    varied = round(noise(slices), 1)
    about = describe(options, time.monotonic() - began, version("haproxy", "-v"),
                     version("nginx", "-v"))
    print(f"The floor varied by {varied} % from round to round.\n")
    show(results)
    log = cost_of_log(results)
    if log is not None:
        print(f"\nThe access log adds {log:.2f} µs per request.")
    for line in bench.notes + failures:
        print(f"\n{line}")
    keep(options, {**about, "floor_varied_percent": varied, "access_log_us": log, "results": results,
                   "failures": failures})
    return 1 if failures else 0


if __name__ == "__main__":
    run("compare", main)
