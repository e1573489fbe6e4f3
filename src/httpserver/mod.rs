//! The demo backend: files, uploads, `/healthcheck`, π and knobs to misbehave. Blocking sockets and
//! a thread per connection: easy to read and slow on purpose where asked; no part of the proxy.

mod answer;
mod connection;
mod files;
pub(crate) mod inbox;
mod kind;
mod listing;
mod log;
pub(crate) mod part;
mod path;
mod pi;
mod request;
mod site;
mod slots;
mod upload;

use crate::cli::HttpServer;
use crate::config::{Endpoint, LogTarget};
use crate::net::listen;
use log::Log;
use site::Site;
use slots::Slots;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Stack of a connection's thread: its deepest call holds a head's fields, some 10 KiB.
const STACK_BYTES: usize = 256 * 1024;

/// Pause when the system has no descriptor or thread to spare: one comes back when a client leaves.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

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

/// A server that listens but does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
}

impl Server {
    /// Takes the port, the directory and the log.
    pub fn bind(options: &HttpServer) -> Result<Server, Error> {
        let dir_error = |error| Error::Dir(options.dir.clone(), error);
        let root = options.dir.canonicalize().map_err(dir_error)?;
        if !root.is_dir() {
            return Err(dir_error(ErrorKind::NotADirectory.into()));
        }
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
        let mut site = Site::new(root, address.port(), log, options.fail_rate);
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
    let (address, root) = (server.address, server.site.root.display());
    // Not `eprintln`, which panics when nobody is left to read it.
    let _ = writeln!(io::stderr(), "httpserver: listening on http://{address}, serving {root}");
    if options.until_eof {
        thread::spawn(exit_with_stdin);
    }
    server.serve()
}

/// Ends the process when standard input ends: a parent that holds the other end takes its servers
/// with it, however it dies.
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

#[cfg(test)]
mod tests;
