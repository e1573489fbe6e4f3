//! The choices of a record, made again by the same strategy from the same inputs.

use super::header::{BACKENDS_MAX, Header};
use super::lines::{Lines, Problem};
use crate::balance::record::{Line, Settings};
use crate::balance::{Balancer, Hint};
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use std::io::{BufRead, Write};

/// Makes the choices of `record` again and prints a line for each: its number, the seconds since
/// the program started, and the server.
///
/// Errors: a bad line, or a choice that is another one than in the record; what comes before it is
/// printed.
pub fn print_choices(record: impl BufRead, out: &mut impl Write) -> Result<(), Problem> {
    let mut lines = Lines::of(record)?;
    let header = Header::read(&mut lines)?;
    let mut run = Run::of(&header);
    let mut count = 0_u64;
    let mut is_whole = false;
    while let Some(line) = lines.next()? {
        is_whole = line == Line::Stopped;
        let chosen = match run.apply(&line) {
            Ok(chosen) => chosen,
            Err(text) => return Err(lines.problem(text)),
        };
        if let Some(id) = chosen {
            count += 1;
            let name = run.known(id).map_err(|text| lines.problem(text))?;
            let at = run.now.as_micros();
            let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
            if writeln!(out, "{count} {seconds}.{micros:06} {name}").is_err() {
                // Its reader has seen enough.
                return Ok(());
            }
        }
    }
    match is_whole {
        true => Ok(()),
        false => Err(lines.problem(
            "the record ends here without `stopped`: it was cut off, or the program goes on or was \
             killed",
        )),
    }
}

/// The balancer as it was in the run. It panics on what a balancer would never have been given, so
/// each input is checked first.
struct Run {
    balancer: Balancer,
    /// The name of each backend; none where one has left.
    names: Vec<Option<String>>,
    now: Instant,
}

impl Run {
    fn of(header: &Header) -> Run {
        Run {
            balancer: header.balancer(header.setting.strategy),
            names: header.backends.iter().map(|(name, _)| Some(name.clone())).collect(),
            now: Instant::START,
        }
    }

    /// Applies one line; the server, if it is a choice.
    ///
    /// Errors: what is wrong with the line.
    fn apply(&mut self, line: &Line<'_>) -> Result<Option<BackendId>, String> {
        if let Some(id) = subject(line) {
            self.known(id)?;
        }
        match *line {
            Line::At(at) if at < self.now => return Err("the time goes back".to_owned()),
            Line::At(at) => self.now = at,
            Line::Picked { picked, hash, tried } => return self.pick(picked, hash, tried),
            Line::Added { id, name, spec } => self.add(id, name, spec)?,
            Line::Removed(id) => self.remove(id)?,
            Line::Ended(id) if self.balancer.in_flight(id) == 0 => {
                return Err(format!("backend {} has nothing in flight that could end", id.index()));
            }
            Line::Ended(id) => self.balancer.ended(id),
            Line::Began(id) => self.balancer.began(id),
            Line::Changed { id, spec } => {
                let spec = spec.named(self.known(id)?);
                self.balancer.reconfigure(id, spec);
            }
            Line::Leaving(id) => self.balancer.set_leaving(id, true),
            Line::Readmitted(id) => self.balancer.set_leaving(id, false),
            Line::Up(id) => self.balancer.set_up(id, true),
            Line::Down(id) => self.balancer.set_up(id, false),
            Line::Warmed(id) => self.balancer.warm(id, self.now),
            Line::Served { id, response_us, at } => self.balancer.served(id, response_us, at),
            Line::Failed { id, response_us, at } => self.balancer.failed(id, response_us, at),
            Line::Probed { id, duration_us } => self.balancer.probed(id, duration_us),
            Line::Reported { id, requests, errors } => self.balancer.report(id, requests, errors),
            Line::Waited(_) | Line::Stopped => {}
            Line::Lost(count) => {
                return Err(format!(
                    "{count} lines were lost here while recording: later choices cannot be made \
                     again; -s compares strategies by what is there"
                ));
            }
            Line::Strategy(_) | Line::Seed(_) | Line::Places(_) => return Err(unexpected(line)),
            Line::QueueTimeout(_) | Line::SlowStart(_) | Line::Run => {
                return Err(unexpected(line));
            }
        }
        Ok(None)
    }

    fn known(&self, id: BackendId) -> Result<&str, String> {
        let name = self.names.get(id.index()).and_then(Option::as_deref);
        name.ok_or_else(|| format!("there is no backend {} at this point", id.index()))
    }

    fn pick(
        &mut self,
        recorded: Option<BackendId>,
        hash: u64,
        tried: &[BackendId],
    ) -> Result<Option<BackendId>, String> {
        if let Some(unknown) = tried.iter().find(|id| id.index() >= self.names.len()) {
            return Err(format!("there is no backend {} at this point", unknown.index()));
        }
        let picked = self.balancer.pick(&Hint { tried, hash, now: self.now });
        let name = |id: Option<BackendId>| match id {
            Some(id) => self.known(id),
            None => Ok("none"),
        };
        if picked != recorded {
            return Err(format!(
                "the record has {}, but {} is chosen here: it is of another version of this \
                 program, or was changed",
                name(recorded)?,
                name(picked)?
            ));
        }
        Ok(picked)
    }

    fn add(&mut self, id: BackendId, name: &str, spec: Settings) -> Result<(), String> {
        let vacant = self.names.iter().position(Option::is_none).unwrap_or(self.names.len());
        if id.index() != vacant || vacant == BACKENDS_MAX {
            return Err(format!("expected backend {vacant} to be added, got {}", id.index()));
        }
        let added = self.balancer.add(spec.named(name));
        assert!(added == id, "the lowest vacant index is taken");
        match self.names.get_mut(vacant) {
            Some(entry) => *entry = Some(name.to_owned()),
            None => self.names.push(Some(name.to_owned())),
        }
        Ok(())
    }

    fn remove(&mut self, id: BackendId) -> Result<(), String> {
        if self.balancer.in_flight(id) > 0 {
            return Err(format!("backend {} cannot leave with requests in flight", id.index()));
        }
        self.balancer.remove(id);
        self.names[id.index()] = None;
        Ok(())
    }
}

/// The backend that a line is about and that must be there.
fn subject(line: &Line<'_>) -> Option<BackendId> {
    match *line {
        Line::Changed { id, .. } | Line::Served { id, .. } | Line::Failed { id, .. } => Some(id),
        Line::Probed { id, .. } | Line::Reported { id, .. } => Some(id),
        Line::Leaving(id) | Line::Readmitted(id) | Line::Removed(id) => Some(id),
        Line::Up(id) | Line::Down(id) | Line::Warmed(id) => Some(id),
        Line::Began(id) | Line::Ended(id) => Some(id),
        Line::Added { .. } | Line::Picked { .. } | Line::At(_) | Line::Waited(_) => None,
        Line::Lost(_) | Line::Stopped | Line::Run => None,
        Line::Strategy(_) | Line::Seed(_) | Line::Places(_) | Line::QueueTimeout(_) => None,
        Line::SlowStart(_) => None,
    }
}

fn unexpected(line: &Line<'_>) -> String {
    format!("`{line}` belongs before `run`")
}
