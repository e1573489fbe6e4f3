//! `loadbalancer top`: the servers of a running balancer, live in a terminal, or once where there is
//! none. Asks its admin address for `/status?text`; knows nothing of the balancer but that text.

mod failure;
mod picture;
mod requests;
mod screen;
mod snapshot;

use crate::cli::Top;
use crate::config::HostPort;
use crate::net::terminal;
pub use failure::Failure;
use requests::{Requests, TIMEOUT, request};
use screen::{Screen, Woken};
use snapshot::Snapshot;
use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time from one request to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest pause from one look for the answer to the next.
const LOOK: Duration = Duration::from_millis(50);

/// Columns where there is no terminal: as many as a line may need.
const PLAIN_COLUMNS: usize = 1_000;

/// Shows the servers until `q`, or prints them once where standard output is no terminal.
///
/// Errors: the first request fails. Later the last table stays, with the reason.
pub fn run(top: &Top) -> Result<(), Failure> {
    let output = io::stdout();
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !output.is_terminal() || is_dumb {
        let columns = terminal::size(&output).map_or(PLAIN_COLUMNS, |size| size.columns);
        return print(&request(&top.admin)?, columns);
    }
    let screen = Screen::open().map_err(Failure::Output)?;
    let outcome = watch(&screen, &top.admin);
    screen.close().map_err(Failure::Output)?;
    outcome
}

/// What the loop waits for.
#[derive(Clone, Copy)]
enum Wait {
    /// The answer to the request of that time.
    Answer { asked: Instant },
    /// The time of the next request.
    Next { due: Instant },
}

/// Draws once a second until a key or the end of the terminal ends it.
fn watch(screen: &Screen, admin: &HostPort) -> Result<(), Failure> {
    let requests = Requests::new(admin.clone()).map_err(Failure::Output)?;
    requests.ask();
    let mut wait = Wait::Answer { asked: Instant::now() };
    let (mut shown, mut answered, mut failure) = (None, Instant::now(), None);
    loop {
        let pause = match wait {
            Wait::Answer { .. } => LOOK,
            Wait::Next { due } => due.saturating_duration_since(Instant::now()),
        };
        let woken = screen.wait(pause);
        if woken == Woken::Quit {
            return Ok(());
        }
        let now = Instant::now();
        let answer = match wait {
            // Bytes that come one by one never exceed the limit of each wait in the request.
            Wait::Answer { asked } => requests.answer().or_else(|| {
                (now - asked > TIMEOUT + LOOK).then(|| Err(Failure::Late(admin.clone())))
            }),
            Wait::Next { .. } => None,
        };
        let is_answered = answer.is_some();
        match answer {
            Some(Ok(snapshot)) => (shown, answered, failure) = (Some(snapshot), now, None),
            Some(Err(error)) if shown.is_none() => return Err(error),
            Some(Err(error)) => failure = Some(error),
            None => {}
        }
        wait = match wait {
            Wait::Answer { .. } if is_answered => Wait::Next { due: now + INTERVAL },
            Wait::Next { due } if due <= now => {
                requests.ask();
                Wait::Answer { asked: now }
            }
            unchanged => unchanged,
        };
        if let Some(shown) = shown.as_ref().filter(|_| is_answered || woken == Woken::Resized) {
            let missing = failure.as_ref().map(|failure| (now - answered, failure));
            screen.draw(shown, missing).map_err(Failure::Output)?;
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
