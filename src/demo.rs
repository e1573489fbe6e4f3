//! Demo backends as child processes, and what to try with them. The balancing itself is `main`'s
//! to start: nothing here knows the proxy.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a server to say where it listens; it takes milliseconds.
const START: Duration = Duration::from_secs(10);

/// Longest wait for all servers to end by themselves before they are killed.
const END: Duration = Duration::from_secs(3);

/// Names tried for the directory; each is taken only by what an earlier demo has left.
const TRIES_MAX: u32 = 10_000;

/// Servers that live as long as this value, or as this process if that is killed: each ends when
/// its standard input does.
#[derive(Debug)]
pub struct Backends {
    servers: Vec<Server>,
    /// Served by all of them, so that what is uploaded to one is got from any.
    dir: PathBuf,
}

#[derive(Debug)]
struct Server {
    child: Child,
    address: SocketAddr,
}

/// A child that has not said yet where it listens.
struct Starting {
    child: Child,
    said: Receiver<SocketAddr>,
}

impl Backends {
    /// Starts `count` of them on free ports of 127.0.0.1 and waits until all listen.
    ///
    /// Errors: what the system refused, and a server that ends or says nothing for ten seconds.
    pub fn start(count: usize) -> io::Result<Backends> {
        let program = std::env::current_exe()?;
        Backends::spawn(count, |dir| {
            let mut command = Command::new(&program);
            // By its own name, whatever name this program was called by (see `cli::parse`).
            command.arg0("loadbalancer").args(["httpserver", "127.0.0.1:0", "--until-eof", "-d"]);
            command.arg(dir);
            command
        })
    }

    fn spawn(count: usize, command: impl Fn(&Path) -> Command) -> io::Result<Backends> {
        let mut backends = Backends { servers: Vec::with_capacity(count), dir: fresh_dir()? };
        // All are started before the first is waited for.
        let mut starting = Vec::with_capacity(count);
        let mut outcome = Ok(());
        for _ in 0..count {
            match Starting::new(command(&backends.dir)) {
                Ok(server) => starting.push(server),
                Err(error) => outcome = Err(error),
            }
        }
        // Also after an error each is waited for or ended: none is left behind.
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
        // What cannot be removed is left to whoever keeps the temporary directory clean.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Starting {
    fn new(mut command: Command) -> io::Result<Starting> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C is for this process alone: it lets requests in flight finish, for which the
        // servers are needed.
        command.process_group(0);
        let mut child = command.spawn()?;
        let (say, said) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || forward(stderr, &say));
        }
        Ok(Starting { child, said })
    }

    fn finish(mut self, due: Instant) -> io::Result<Server> {
        match self.said.recv_timeout(due.saturating_duration_since(Instant::now())) {
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

/// Passes on what a server has to say, but for the address, which is said to `say`.
fn forward(stderr: ChildStderr, say: &Sender<SocketAddr>) {
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { return };
        // Nobody may wait for the address any more, or read the line: both can be lost.
        match address(&line) {
            Some(address) => drop(say.send(address)),
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }
}

/// The address in the line that a server prints first.
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
    // Both fail only when it is gone.
    let _ = child.kill();
    let _ = child.wait();
}

/// A new empty directory that only this user can enter.
fn fresh_dir() -> io::Result<PathBuf> {
    let base = std::env::temp_dir();
    for number in 0..TRIES_MAX {
        let dir = base.join(format!("loadbalancer-demo-{}-{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// What to try with a balancer that listens on `listen`, a few lines.
pub fn advice(listen: SocketAddr, backends: &Backends) -> String {
    let mut rows = vec![
        (
            format!("curl http://{listen}/"),
            "several times: each answer names its server".to_owned(),
        ),
        (format!("curl http://{listen}/200"), "pi to 200 terms, 200 ms of work".to_owned()),
        (format!("curl -T FILE http://{listen}/"), "an upload; any server has it then".to_owned()),
    ];
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
    text + "and watch what is said here. Ctrl-C ends it all.\n"
}

#[cfg(test)]
mod tests;
