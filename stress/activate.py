"""Plays a service manager with socket activation: activate.py PROGRAM [ARGUMENTS...]

Listens on a free loopback port, prints it, and starts PROGRAM with that address and ARGUMENTS, the
socket as descriptor 3 (LISTEN_FDS, as systemd does it). SIGHUP stops the program by SIGTERM, waits
for its end and starts it again; the socket stays open, so connections wait in the kernel meanwhile.
SIGTERM stops the program and ends. A line `restarted` follows each restart. The exit status is 1
if the program ended with another status than 0.
"""

import signal
import socket
import subprocess
import sys

# The shell's own process becomes the program, so that LISTEN_PID is right.
SCRIPT = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@" 3<&0 </dev/null'


def main():
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    # Taken one after the other by sigwait: none is lost while a restart runs.
    signals = {signal.SIGHUP, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    host, port = listener.getsockname()
    command = ["sh", "-c", SCRIPT, sys.argv[1], f"{host}:{port}", *sys.argv[2:]]

    def start():
        return subprocess.Popen(
            command, stdin=listener,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals))

    program = start()
    print(port, flush=True)
    while signal.sigwait(signals) == signal.SIGHUP:
        program.terminate()
        if (status := program.wait()) != 0:
            print(f"activate.py: exit status {status}", file=sys.stderr)
            return 1
        program = start()
        print("restarted", flush=True)
    program.terminate()
    return 1 if program.wait() != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
