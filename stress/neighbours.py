"""How long small requests take beside busy neighbours.

Started by neighbours.sh. Small requests are due at random moments, 2,000 a second over 8
connections; in every round first alone, then beside a client that downloads bodies of 1 GiB, one
that uploads them, and 300 that each read 20 kB/s of 100 MiB. What is compared are the percentiles
within one round.

The neighbours leave their CPU to the backend and to the small requests' client whenever these have
something to do (real-time scheduling, as root): else what is measured is how the machine shares its
CPUs. The backend writes 512 KiB of a large body at a time, which takes about 0.1 ms.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

from compare import Bench, Failed, describe, keep, parse, read_line, run
from latency import PERCENTILES, hurry

RATE = 2000
READERS = 300
GIB = 1 << 30
READ = 100 << 20
RATIO_MAX = 2.0


class Neighbours:
    """Clients that move much, from `start` to `stop`."""

    def __init__(self, bench, port):
        self.bench, self.port, self.running = bench, port, []

    def start(self):
        for words in [
            ["-c", 1, "-n", 1000, "-u", f"/{GIB}"],
            ["-c", 1, "-n", 1000, "-s", GIB],
            ["-c", READERS, "-k", 20000, "-u", f"/{READ}"],
        ]:
            load = self.bench.spawn(
                self.bench.load_cpu, self.bench.tools / "load", *words, self.port,
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            )
            # The start, which it awaits after its first response.
            load.stdin.write(b"\n")
            load.stdin.flush()
            os.sched_setscheduler(load.pid, os.SCHED_OTHER, os.sched_param(0))
            self.running.append(load)

    def stop(self):
        for load in self.running:
            load.kill()
            load.wait()
            self.bench.children.remove(load)
        self.running = []


def slice_of_small(bench, port, seconds):
    load = bench.start_load("ours", "-c", 8, "-o", RATE, "-n", round(RATE * seconds), port)
    try:
        load.stdin.write("\n")
        load.stdin.flush()
        line = read_line(load.stdout, "the load", empty_is_fine=True)
        if not line:
            raise Failed(load.stderr.read().strip())
    finally:
        load.kill()
        load.wait()
        bench.children.remove(load)
    _, _, p50, p99, p999 = map(float, line.split())
    return {"p50": p50, "p99": p99, "p999": p999}


def percentile_rows(rounds):
    """Medians over the rounds of each percentile alone and beside; ratios are taken within a round."""
    rows = {}
    for key in PERCENTILES:
        alone, beside = ([one[part][key] for one in rounds] for part in ["alone", "beside"])
        ratio = median(b / a for a, b in zip(alone, beside))
        rows[key] = {"alone": median(alone), "beside": median(beside), "ratio": ratio}
    return rows


def main():
    parser = argparse.ArgumentParser(prog="neighbours.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2, help="length of a slice [default: 2]")
    options = parse(parser, rounds=7)
    began = time.monotonic()
    real_time = hurry()
    bench = Bench(options.tools, options.program)
    rounds = []
    try:
        backend, _ = bench.start_backend()
        _, port = bench.start_program("-b", f"127.0.0.1:{backend}", "-N", "1000")
        neighbours = Neighbours(bench, port)
        for _ in range(options.rounds):
            alone = slice_of_small(bench, port, options.seconds)
            neighbours.start()
            time.sleep(1)
            beside = slice_of_small(bench, port, options.seconds)
            neighbours.stop()
            rounds.append({"alone": alone, "beside": beside})
            time.sleep(0.3)
            print(".", end="", file=sys.stderr, flush=True)
    finally:
        bench.close()
    print(file=sys.stderr)
    about = describe(options, time.monotonic() - began)
    if not real_time:
        print("Without real-time scheduling (root): the tails are the machine's.\n")
    rows = percentile_rows(rounds)
    print("| µs    |  alone | beside | ratio |")
    print("|-------|-------:|-------:|------:|")
    for key, row in rows.items():
        print(f"| {PERCENTILES[key]:<5} | {row['alone']:>6,.0f} | {row['beside']:>6,.0f} "
              f"| {row['ratio']:>5.2f} |")
    keep(options, {**about, "real_time": real_time, "rounds_each": rounds, "percentiles": rows})
    is_met = round(rows["p99"]["ratio"], 2) <= RATIO_MAX
    print(f"\np99 beside them is {rows['p99']['ratio']:.2f} times p99 alone, at most {RATIO_MAX:.2f}: "
          + ("met" if is_met else "NO"))
    return 0 if is_met else 1


if __name__ == "__main__":
    run("neighbours", main)
