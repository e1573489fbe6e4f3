"""What grows with the number of backends and of idle clients: CPU time per request.

Started by growth.sh. Several copies of the program run at once, alike but for what is measured;
each gets a short slice of the same load in turn, in several rounds, and what is compared are the
ratios to the first one within a round. All backends are one process, under many addresses.
"""

import argparse
import resource
import time
from dataclasses import dataclass
from statistics import median

from compare import Bench, Failed, Measure, describe, keep, measure_all, parse, run

LOAD = "-c 32"
REQUESTS = 12000
# Longer than a run, so that no time-out changes anything.
PATIENT = ["--pool-timeout", "1h", "--keep-alive-timeout", "1h"]


@dataclass(frozen=True)
class Row:
    """What grows, the sizes that are measured, and by how many per cent CPU time may rise."""

    name: str
    strategy: str
    grows: str
    sizes: tuple
    bar: int


ROWS = [
    Row("rr", "rr", "backends", (2, 32, 512), 15),
    Row("least-conn", "least-conn", "backends", (2, 32, 512), 15),
    Row("idle", "rr", "idle clients", (0, 1000, 10000), 10),
]


def start(bench, row, size, port):
    """A copy of the program for this row and size."""
    backends = size if row.grows == "backends" else 2
    addresses = [f"127.0.{i // 250}.{i % 250 + 1}:{port}" for i in range(backends)]
    target = f"{row.name} {size}"
    place = bench.start_program("-s", row.strategy, *PATIENT, "-b", *addresses)
    bench.places[target] = {row.name: place}
    if row.grows == "idle clients" and size:
        bench.start_load(target, "-c", size, "-i", place[1])


def summary(row, slices):
    figures = {size: [one["cpu"] / REQUESTS * 1e6 for one in slices[f"{row.name} {size}"]]
               for size in row.sizes}
    first, last = figures[row.sizes[0]], figures[row.sizes[-1]]
    rise = (median(b / a for a, b in zip(first, last)) - 1) * 100
    return {"row": row.name, "grows": row.grows, "cpu_us_per_request": figures,
            "rise_percent": rise, "bar_percent": row.bar, "met": round(rise) <= row.bar}


def show(results):
    print("| strategy, load    | grows        | CPU µs per request at each size"
          "        |   rise |   bar |     |")
    print("|-------------------|--------------|---------------------------------"
          "--------|-------:|------:|-----|")
    for r in results:
        sizes = ", ".join(f"{size:,}: {median(each):.1f}"
                          for size, each in r["cpu_us_per_request"].items())
        print(f"| {r['row']:<17} | {r['grows']:<12} | {sizes:<39} | {r['rise_percent']:>+4.0f} % "
              f"| +{r['bar_percent']} % | {'met' if r['met'] else 'NO':<3} |")


def main():
    parser = argparse.ArgumentParser(prog="growth.sh", description=__doc__.splitlines()[0])
    options = parse(parser, rounds=9)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = max(row.sizes[-1] for row in ROWS) + 200
    if most != resource.RLIM_INFINITY and most < needed:
        raise Failed(f"the open-file limit of {most} is below {needed} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    began = time.monotonic()
    bench = Bench(options.tools, options.program)
    try:
        port, _ = bench.start_backend()
        for row in ROWS:
            for size in row.sizes:
                start(bench, row, size, port)
        measures = [Measure(row.name, row.name, LOAD, REQUESTS, ()) for row in ROWS]
        # The first round opens the connections to the backends.
        _, cold = measure_all(bench, measures, 1)
        slices, failures = measure_all(bench, measures, options.rounds)
    finally:
        bench.close()
    if cold or failures:
        raise Failed("; ".join(cold + failures))
    results = [summary(row, slices[row.name]) for row in ROWS]
    about = describe(options, time.monotonic() - began)
    show(results)
    keep(options, {**about, "results": results})
    return 0


if __name__ == "__main__":
    run("growth", main)
