//! `loadbalancer top`: the servers of a running balancer, live in a terminal, or once where there is
//! none. Asks its admin address for `/status?text`; knows nothing of the balancer but that text.

mod failure;
mod picture;
mod screen;
mod snapshot;

use crate::cli::Top;
use crate::config::Endpoint;
use crate::get::{self, Url, fetch};
use crate::net::terminal;
pub use failure::Failure;
use screen::Screen;
use snapshot::Snapshot;
use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time from one request to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for a connection or a byte. The balancer answers from memory.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Columns where there is no terminal: as many as a line may need.
const PLAIN_COLUMNS: usize = 1_000;

/// Longest status text: more than 4,096 servers need.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Shows the servers until `q`, or prints them once where standard output is no terminal.
///
/// Errors: the first request fails. Later the last table stays, with the reason.
pub fn run(top: &Top) -> Result<(), Failure> {
    let first = request(&top.admin)?;
    let output = io::stdout();
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !output.is_terminal() || is_dumb {
        let columns = terminal::size(&output).map_or(PLAIN_COLUMNS, |size| size.columns);
        return print(&first, columns);
    }
    watch(&top.admin, first).map_err(Failure::Output)
}

/// Draws once a second until a key or the end of the terminal ends it.
fn watch(admin: &Endpoint, mut shown: Snapshot) -> io::Result<()> {
    let screen = Screen::open()?;
    let (mut answered, mut failure) = (Instant::now(), None);
    loop {
        screen.draw(&shown, failure.as_ref().map(|failure| (answered.elapsed(), failure)))?;
        if screen.quits_within(INTERVAL) {
            return screen.close();
        }
        match request(admin) {
            Ok(snapshot) => (shown, answered, failure) = (snapshot, Instant::now(), None),
            Err(error) => failure = Some(error),
        }
    }
}

/// To standard output; a reader that closes it early (`| head`) is not an error.
fn print(snapshot: &Snapshot, columns: usize) -> Result<(), Failure> {
    let lines = picture::draw(snapshot, columns, None);
    let text: String = lines.iter().map(|line| line.text.clone() + "\n").collect();
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The state of the balancer with this admin address.
fn request(admin: &Endpoint) -> Result<Snapshot, Failure> {
    let not_admin = || Failure::NotAdmin(admin.clone());
    let url = Url::read(&format!("http://{admin}/status?text"));
    let url = url.map_err(|error| Failure::Request(get::Failure::WrongUrl(error)))?;
    let mut response = fetch::open(&url, TIMEOUT).map_err(|failure| match failure {
        get::Failure::Connect(_, error) => Failure::Connect(admin.clone(), error),
        get::Failure::Response(..) => not_admin(),
        other => Failure::Request(other),
    })?;
    if response.status != 200 {
        return Err(not_admin());
    }
    let mut text = Vec::new();
    loop {
        let count = match response.content() {
            Ok(0) => break,
            Ok(count) if text.len() + count <= TEXT_BYTES_MAX => count,
            Ok(_) | Err(_) => return Err(not_admin()),
        };
        text.extend_from_slice(&response.unread()[..count]);
        response.consume(count);
    }
    Snapshot::read(&String::from_utf8_lossy(&text)).ok_or_else(not_admin)
}
