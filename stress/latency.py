"""How long clients wait: this program, HAProxy, nginx and a bare forwarder side by side.

Started by latency.sh. First the most requests a second that HAProxy and nginx reach are measured,
with all clients always asking. Then each proxy in turn, in short slices, gets 30 % and 70 % of
what the slower of the two reaches, as of independent clients: each request is
due at a moment of its own, however slow the responses are, and its time runs from that moment. What
is compared are the ratios within one round.

All of them run in real-time scheduling where that is allowed (as root). Otherwise whatever else the
machine does decides the tails: a process that wakes up waits milliseconds for a CPU.
"""

import argparse
import os
import sys
import time
from statistics import median

from compare import OTHERS, TARGETS, Bench, Measure, describe, keep, measure_all, parse, run, version

PEERS = ["haproxy", "nginx"]
SHARES = [30, 70]
PERCENTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
CONNECTIONS = 64
# A browser's request: work for the proxies, hardly any for the load and the backend, which share a
# CPU and must not be what is measured.
LOAD = f"-b -c {CONNECTIONS}"
SATURATED = Measure("saturated", "http", LOAD, 20000, ())


def hurry():
    """Real-time scheduling for this process and those it starts; whether it is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return True
    except PermissionError:
        return False


def open_loop(share, saturation, seconds):
    """One slice at this share, in per cent, of the slowest peer's saturation."""
    rate = round(saturation * share / 100)
    return Measure(f"{share} %", "http", f"{LOAD} -o {rate}", round(rate * seconds), ())


def summary(measure, rows):
    """Medians over the rounds; ratios are taken within a round first."""
    result = {"share": measure.name, "load": measure.load, "requests": measure.requests}
    for key in PERCENTILES:
        times = {target: [one[key] for one in each] for target, each in rows.items()}
        result[key] = {
            "times": times,
            "medians": {target: median(each) for target, each in times.items()},
            "ratios": {
                other: median(a / b for a, b in zip(times["ours"], times[other]))
                for other in OTHERS if "ours" in times and other in times
            },
        }
    return result


def show(results):
    print("| load | µs    |   ours |  floor | haproxy |  nginx "
          "| to floor | to haproxy | to nginx | no worse |")
    print("|-----:|-------|-------:|-------:|--------:|-------:"
          "|---------:|-----------:|---------:|----------|")
    for result in results:
        for key, name in PERCENTILES.items():
            medians, ratios = result[key]["medians"], result[key]["ratios"]
            cells = [f"{medians[t]:>{w},.0f}" if t in medians else f"{'-':>{w}}"
                     for t, w in zip(TARGETS, [6, 6, 7, 6])]
            cells += [f"{ratios[o]:>{w}.2f}" if o in ratios else f"{'-':>{w}}"
                      for o, w in zip(OTHERS, [8, 10, 8])]
            # What the table shows decides.
            met = all(round(ratios.get(p, 0), 2) <= 1 for p in PEERS)
            print(f"| {result['share']} | {name:<5} | " + " | ".join(cells)
                  + f" | {'met' if met else 'NO':<8} |")


def main():
    parser = argparse.ArgumentParser(
        prog="latency.sh", description=__doc__.splitlines()[0],
    )
    parser.add_argument("--seconds", type=float, default=1,
                        help="length of a slice, 0.1 to 30 [default: 1]")
    options = parse(parser, rounds=9)
    if not 0.1 <= options.seconds <= 30:
        parser.error("--seconds is 0.1 to 30")
    began = time.monotonic()
    real_time = hurry()
    bench = Bench(options.tools, options.program)
    try:
        bench.start()
        full, failures = measure_all(bench, [SATURATED], 3)
        reached = {target: median(one["rps"] for one in rows)
                   for target, rows in full[SATURATED.name].items()}
        if not all(peer in reached for peer in PEERS):
            sys.exit("\n".join(failures))
        slowest = min(PEERS, key=reached.get)
        measures = [open_loop(share, reached[slowest], options.seconds) for share in SHARES]
        slices, more = measure_all(bench, measures, options.rounds)
        failures += more
    finally:
        bench.close()
    results = [summary(m, slices[m.name]) for m in measures]
    about = describe(options, time.monotonic() - began, version("haproxy", "-v"),
                     version("nginx", "-v"))
    print("Requests/s at most: " + ", ".join(f"{t} {r:,.0f}" for t, r in reached.items())
          + f"; the load is a share of {slowest}'s, over {CONNECTIONS} connections.\n")
    if not real_time:
        print("Without real-time scheduling (root): the tails are the machine's.\n")
    show(results)
    for line in failures:
        print(f"\n{line}")
    keep(options, {**about, "real_time": real_time, "saturation": reached, "results": results, "failures": failures})
    return 1 if failures else 0


if __name__ == "__main__":
    run("latency", main)
