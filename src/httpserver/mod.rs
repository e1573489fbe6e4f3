//! The demo backend: files, uploads, `/healthcheck`, π and options to misbehave. Blocking sockets
//! and a thread per connection: easy to read, slow on purpose where asked; not part of the proxy.

mod connection;
mod directory;
mod pi;
pub(crate) mod reader;
mod request;
mod response;
mod site;
mod slots;

use crate::base::reason::reason;
use crate::cli::HttpServer;
use crate::config::{HostPort, LogTarget};
use crate::net::listen;
use crate::net::part::Parts;
use crate::net::stop::clean_up_on_stop;
use directory::Directory;
use site::{Log, Site};
use slots::{SLOTS_MAX, Slots};
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Stack of a connection's thread: its deepest call holds the fields of a head, some 10 KiB.
const STACK_BYTES: usize = 256 * 1024;

/// Pause when the system has no descriptor or thread left: one is free again when a client leaves.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// Where a server listens whose address is a port alone: it accepts uploads, so it serves other
/// machines only on request.
const HOST: &str = "127.0.0.1";

/// The first port that needs no privilege to listen on.
const PORT_UNPRIVILEGED: u16 = 1024;

/// Attempts to remove a directory that other servers are still writing to or removing, and the
/// pause between them.
const REMOVALS_MAX: u32 = 100;
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);

/// Why the server cannot run. Each displays as one line.
#[derive(Debug)]
pub enum Error {
    /// The address cannot be listened on.
    Listen(HostPort, io::Error),
    /// The directory cannot be served.
    Dir(PathBuf, io::Error),
    /// The log cannot be written.
    Log(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen(endpoint, error) => {
                let why = match error.kind() {
                    ErrorKind::AddrInUse => {
                        "another program does, choose another port or 0 for any".to_owned()
                    }
                    ErrorKind::PermissionDenied if endpoint.port < PORT_UNPRIVILEGED => {
                        "ports below 1024 need root, choose another, such as 8080".to_owned()
                    }
                    _ => reason(error),
                };
                write!(f, "cannot listen on {endpoint}: {why}")
            }
            Error::Dir(dir, error) => {
                let (dir, reason) = (dir.display(), reason(error));
                write!(f, "cannot serve {dir}: {reason}; name a directory with -d")
            }
            Error::Log(path, error) => {
                let (path, reason) = (path.display(), reason(error));
                write!(f, "cannot log to {path}: {reason}; name another file with -l")
            }
        }
    }
}

impl std::error::Error for Error {}

/// A server that listens but does not accept yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
    slots: Arc<Slots>,
}

impl Server {
    /// Opens the directory, the log and the port.
    pub fn bind(options: &HttpServer) -> Result<Server, Error> {
        let directory =
            Directory::new(&options.dir).map_err(|error| Error::Dir(options.dir.clone(), error))?;
        let log = Log::open(options.log.as_ref()).map_err(|error| {
            let path = match &options.log {
                Some(LogTarget::File(path)) => path.clone(),
                Some(LogTarget::Stdout) | None => PathBuf::from("-"),
            };
            Error::Log(path, error)
        })?;
        let listen_error = |error| Error::Listen(options.listen.clone(), error);
        let host = options.listen.host.as_deref().unwrap_or(HOST);
        let listener = listen::blocking(Some(host), options.listen.port).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let mut site = Site::new(directory, address.port(), log, options.fail_rate);
        site.delay = options.delay;
        site.upload_bytes_max = options.max_upload;
        Ok(Server { listener, address, site: Arc::new(site), slots: Slots::new(SLOTS_MAX) })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process ends.
    pub fn serve(self) -> ! {
        loop {
            let accepted = self.listener.accept().and_then(|(stream, _)| {
                let (slot, site) = (self.slots.take(), Arc::clone(&self.site));
                let thread = thread::Builder::new().name("client".into()).stack_size(STACK_BYTES);
                thread.spawn(move || connection::serve(stream, &site, &slot))
            });
            match accepted {
                Ok(_) => {}
                // The client left while it waited.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    self.slots.close_longest_idle();
                    thread::sleep(SHORTAGE_PAUSE);
                }
            }
        }
    }
}

/// Runs the demo backend; returns only when it cannot start.
pub fn run(options: &HttpServer) -> Result<Infallible, Error> {
    let server = Server::bind(options)?;
    // Each connection may have a file open, too. With a lower limit fewer are served at once.
    let _ = listen::raise_file_limit();
    let directory = &server.site.directory;
    let (parts, root) = (directory.parts(), directory.root().to_owned());
    let at_stop = parts.clone();
    // When the system has no thread for it, a signal leaves the files of unfinished uploads.
    let _ = clean_up_on_stop(move || at_stop.close());
    let (url, shown) = (url(&options.listen, server.address), root.display());
    // Not `eprintln`, which panics when standard error is closed.
    let line = format!("httpserver: listening on {url}, serving {shown}\n");
    // One write, so that a reader never finds half a line.
    let _ = io::stderr().write_all(line.as_bytes());
    if options.until_eof {
        let removed = options.remove_dir.then_some(root);
        thread::spawn(move || exit_with_stdin(&parts, removed.as_deref()));
    }
    server.serve()
}

/// The URL to open in a browser on this machine.
fn url(listen: &HostPort, address: SocketAddr) -> String {
    let port = address.port();
    match &listen.host {
        None => format!("http://localhost:{port}"),
        Some(_) if address.ip().is_unspecified() => {
            format!("http://localhost:{port} (all interfaces)")
        }
        Some(host) => format!("http://{}", HostPort::on(host, port)),
    }
}

/// Ends the process when standard input ends, and removes unfinished uploads and `directory`: a
/// child leaves nothing behind when its parent, which holds the other end, ends in any way.
fn exit_with_stdin(parts: &Parts, directory: Option<&Path>) {
    // It returns at the end, and by an error that no repetition would change.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    parts.close();
    for _ in 0..REMOVALS_MAX {
        match directory.map(fs::remove_dir_all) {
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => {
                thread::sleep(REMOVAL_PAUSE);
            }
            Some(_) | None => break,
        }
    }
    std::process::exit(0);
}

#[cfg(test)]
mod tests;
