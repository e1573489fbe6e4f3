//! Demo backends as child processes, and commands to try with them. `main` starts the balancer:
//! nothing here knows the proxy.

mod directory;
mod identity;

pub use identity::Identity;

use directory::fresh_dir;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a server to print where it listens; usually milliseconds.
const START: Duration = Duration::from_secs(10);

/// Longest wait for all servers to exit before they are killed.
const END: Duration = Duration::from_secs(3);

/// Servers that end when this value is dropped, or when this process ends in any other way: each
/// exits when its standard input ends.
#[derive(Debug)]
pub struct Backends {
    servers: Vec<Server>,
    /// Served by all of them: a file uploaded to one can be read from any.
    dir: PathBuf,
}

#[derive(Debug)]
struct Server {
    child: Child,
    address: SocketAddr,
}

/// A child that has not yet printed where it listens.
struct Starting {
    child: Child,
    printed: Receiver<SocketAddr>,
}

impl Backends {
    /// Starts `count` of them on free ports of 127.0.0.1 and waits until all listen.
    ///
    /// Errors: those of the system, and a server that exits or prints no address for ten seconds.
    pub fn start(count: usize) -> io::Result<Backends> {
        let program = std::env::current_exe()?;
        Backends::spawn(count, |dir| {
            let mut command = Command::new(&program);
            // By its own name, whatever name this program was called by (see `cli::parse`).
            command.arg0("loadbalancer").args(["httpserver", "127.0.0.1:0", "--until-eof"]);
            command.args(["--remove-dir", "-d"]).arg(dir);
            command
        })
    }

    fn spawn(count: usize, command: impl Fn(&Path) -> Command) -> io::Result<Backends> {
        let mut backends = Backends { servers: Vec::with_capacity(count), dir: fresh_dir()? };
        // All start before the wait for the first, so that they start in parallel.
        let mut starting = Vec::with_capacity(count);
        let mut outcome = Ok(());
        for _ in 0..count {
            match Starting::new(command(&backends.dir)) {
                Ok(server) => starting.push(server),
                Err(error) => outcome = Err(error),
            }
        }
        // After an error, too, each one started is waited for or ended.
        let due = Instant::now() + START;
        for server in starting {
            match server.finish(due) {
                Ok(server) => backends.servers.push(server),
                Err(error) => outcome = Err(error),
            }
        }
        outcome.map(|()| backends)
    }

    /// Where they listen, in the order they were started.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    /// Their process ids, in the same order.
    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(|server| server.child.id()).collect()
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        for server in &mut self.servers {
            drop(server.child.stdin.take());
        }
        let due = Instant::now() + END;
        for server in &mut self.servers {
            end(&mut server.child, due);
        }
        // The servers have removed it, unless they had to be killed.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Starting {
    fn new(mut command: Command) -> io::Result<Starting> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C must not reach the servers: this process lets requests in flight finish first.
        command.process_group(0);
        let mut child = command.spawn()?;
        let (sender, printed) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || forward(stderr, &sender));
        }
        Ok(Starting { child, printed })
    }

    fn finish(mut self, due: Instant) -> io::Result<Server> {
        match self.printed.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(address) => Ok(Server { child: self.child, address }),
            Err(why) => {
                drop(self.child.stdin.take());
                end(&mut self.child, Instant::now());
                Err(match why {
                    RecvTimeoutError::Timeout => {
                        io::Error::new(ErrorKind::TimedOut, "a demo server did not start in time")
                    }
                    RecvTimeoutError::Disconnected => {
                        io::Error::other("a demo server ended before it listened")
                    }
                })
            }
        }
    }
}

/// Copies the lines of a server to standard error, except its address, which goes to `sender`.
fn forward(stderr: ChildStderr, sender: &Sender<SocketAddr>) {
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { return };
        // Both fail only when the start was given up or standard error is closed.
        match address(&line) {
            Some(address) => drop(sender.send(address)),
            None => drop(io::stderr().write_all(format!("{line}\n").as_bytes())),
        }
    }
}

/// The address in the first line that a server prints.
fn address(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("httpserver: listening on http://")?;
    rest.split(", serving ").next()?.parse().ok()
}

/// Waits for `child` until `due`, then kills it.
fn end(child: &mut Child, due: Instant) {
    while Instant::now() < due {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(5)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    // Both fail only when it has exited.
    let _ = child.kill();
    let _ = child.wait();
}

/// Commands to try with a balancer that listens on `listen` and `admin`, a few lines. With a
/// certificate it speaks TLS.
pub fn advice(
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    backends: &Backends,
    identity: Option<&Identity>,
) -> String {
    let watch = |admin: SocketAddr| {
        let top = format!("loadbalancer top {admin}");
        let page = (format!("http://{admin}/"), "in a browser: the servers, live".to_owned());
        [page, (top, "the same in a terminal".to_owned())]
    };
    let (curl, origin) = match identity {
        None => ("curl".to_owned(), format!("http://{listen}")),
        Some(identity) => {
            let certificate = identity.certificate.display();
            (format!("curl --cacert {certificate}"), format!("https://{listen}"))
        }
    };
    let mut rows: Vec<_> = admin.map(watch).into_iter().flatten().collect();
    rows.extend([
        (format!("{curl} {origin}/"), "several times: each response names its server".to_owned()),
        (format!("{curl} {origin}/200"), "pi to 200 terms, 200 ms of work".to_owned()),
        (format!("{curl} -T FILE {origin}/"), "an upload; any server has it then".to_owned()),
    ]);
    if let Some(server) = backends.servers.first() {
        let port = server.address.port();
        rows.push((
            format!("kill {}", server.child.id()),
            format!("ends the server on port {port}"),
        ));
    }
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let mut text = String::from("demo: try in another terminal\n");
    for (command, why) in rows {
        text.push_str(&format!("  {command:width$}  # {why}\n"));
    }
    text + "and watch the messages here. Ctrl-C stops everything.\n"
}

#[cfg(test)]
mod tests;
