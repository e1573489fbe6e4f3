//! The demo backend: files, uploads, `/healthcheck`, π and options to misbehave. Blocking sockets
//! and a thread per connection: easy to read, slow on purpose where asked; not part of the proxy.

mod connection;
mod directory;
mod pi;
pub(crate) mod reader;
mod request;
mod response;
mod site;

use crate::cli::HttpServer;
use crate::config::{Endpoint, LogTarget};
use crate::net::listen;
use directory::Directory;
use site::{Log, Site};
use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Stack of a connection's thread: its deepest call holds the fields of a head, some 10 KiB.
const STACK_BYTES: usize = 256 * 1024;

/// Pause when the system has no descriptor or thread left: one is free again when a client leaves.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// Connections served at once, each by a thread; more wait in the listen backlog.
const SLOTS_MAX: usize = 1_024;

/// With more connections than this, each is closed after its response, so that idle ones cannot
/// keep new clients out.
const SLOTS_CLOSE: usize = SLOTS_MAX * 3 / 4;

/// Why the server cannot run. Each displays as one line.
#[derive(Debug)]
pub enum Error {
    /// The address cannot be listened on.
    Listen(Endpoint, io::Error),
    /// The directory cannot be served.
    Dir(PathBuf, io::Error),
    /// The log cannot be written.
    Log(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen(endpoint, error) if error.kind() == ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {endpoint}: another program does, \
                 choose another port or 0 for any"
            ),
            Error::Listen(endpoint, error) => write!(f, "cannot listen on {endpoint}: {error}"),
            Error::Dir(dir, error) => write!(f, "cannot serve {}: {error}", dir.display()),
            Error::Log(path, error) => write!(f, "cannot log to {}: {error}", path.display()),
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
        let listener = listen::blocking(options.listen.host.as_deref(), options.listen.port)
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let mut site = Site::new(directory, address.port(), log, options.fail_rate);
        site.delay = options.delay;
        Ok(Server { listener, address, site: Arc::new(site) })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process ends.
    pub fn serve(self) -> ! {
        let slots = Arc::new(Slots::default());
        loop {
            let slot = slots.take();
            let accepted = self.listener.accept().and_then(|(stream, _)| {
                let site = Arc::clone(&self.site);
                let thread = thread::Builder::new().name("client".into()).stack_size(STACK_BYTES);
                thread.spawn(move || connection::serve(stream, &site, &slot))
            });
            match accepted {
                Ok(_) => {}
                // The client left while it waited.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => thread::sleep(SHORTAGE_PAUSE),
            }
        }
    }
}

/// Runs the demo backend; returns only when it cannot start.
pub fn run(options: &HttpServer) -> Result<Infallible, Error> {
    let server = Server::bind(options)?;
    let (address, root) = (server.address, server.site.directory.root().display());
    // Not `eprintln`, which panics when standard error is closed.
    let line = format!("httpserver: listening on http://{address}, serving {root}\n");
    // One write, so that a reader never finds half a line.
    let _ = io::stderr().write_all(line.as_bytes());
    if options.until_eof {
        thread::spawn(exit_with_stdin);
    }
    server.serve()
}

/// Ends the process when standard input ends: a child never outlives the parent that holds the
/// other end, however the parent ends.
fn exit_with_stdin() {
    let mut ignored = [0; 256];
    let mut stdin = io::stdin().lock();
    loop {
        match stdin.read(&mut ignored) {
            Ok(0) => std::process::exit(0),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => std::process::exit(0),
        }
    }
}

/// The number of connections.
#[derive(Debug, Default)]
struct Slots {
    taken: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    /// Waits for a free slot.
    fn take(self: &Arc<Slots>) -> Slot {
        // No code that holds the lock can panic: the count is right.
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut usize| *taken >= SLOTS_MAX;
        let waited = self.freed.wait_while(taken, full);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Slot(Arc::clone(self))
    }
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
struct Slot(Arc<Slots>);

impl Slot {
    /// Few slots are left: the connection is to be closed after its response.
    fn is_scarce(&self) -> bool {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) > SLOTS_CLOSE
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
