//! Two strategies over the same record: the one that was recorded, and another one.

use super::header::{BACKENDS_MAX, Header};
use super::histogram::Histogram;
use super::lines::{Lines, Problem};
use super::model::{Event, Model, Results, Times};
use crate::balance::Strategy;
use crate::balance::record::Line;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::BufRead;
use std::time::Duration;

/// What two strategies make of a record.
#[derive(Debug)]
pub struct Comparison {
    columns: [(Strategy, Results); 2],
    servers: Vec<String>,
    requests: u64,
    span: Duration,
    has_times: bool,
    lost: u64,
    is_whole: bool,
}

/// Reads the record of `open` twice: for the response times of each server, then request by request.
///
/// Errors: it cannot be opened; within, a bad line.
pub fn compare<R: BufRead, E>(
    open: impl Fn() -> Result<R, E>,
    other: Strategy,
) -> Result<Result<Comparison, Problem>, E> {
    let survey = match survey(open()?) {
        Ok(survey) => survey,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(replay(open()?, other, survey))
}

/// The servers of a record by name, and which of them each number stands for at a time.
#[derive(Debug, Default)]
struct Servers {
    numbers: HashMap<String, usize>,
    present: Vec<Option<usize>>,
}

impl Servers {
    /// Of the backends at the start.
    fn of(header: &Header) -> Servers {
        let mut servers = Servers::default();
        for (index, (name, _)) in header.backends.iter().enumerate() {
            servers.add(BackendId::new(index), name).expect("the header was checked");
        }
        servers
    }

    fn add(&mut self, id: BackendId, name: &str) -> Result<usize, String> {
        if id.index() >= BACKENDS_MAX || self.numbers.len() >= 10 * BACKENDS_MAX {
            return Err(format!("expected at most {BACKENDS_MAX} backends"));
        }
        if self.present.len() <= id.index() {
            self.present.resize(id.index() + 1, None);
        }
        let next = self.numbers.len();
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => *self.numbers.entry(name.to_owned()).or_insert(next),
        };
        self.present[id.index()] = Some(number);
        Ok(number)
    }

    fn at(&self, id: BackendId) -> Result<usize, String> {
        let number = self.present.get(id.index()).copied().flatten();
        number.ok_or_else(|| format!("there is no backend {} at this point", id.index()))
    }

    fn names(self) -> Vec<String> {
        let mut named: Vec<(usize, String)> =
            self.numbers.into_iter().map(|(name, number)| (number, name)).collect();
        named.sort_unstable();
        named.into_iter().map(|(_, name)| name).collect()
    }
}

/// What is known of a whole record after the first reading.
#[derive(Debug, Default)]
struct Survey {
    times: Vec<Histogram>,
    waited_max: Duration,
    lost: u64,
    is_whole: bool,
}

fn survey(record: impl BufRead) -> Result<Survey, Problem> {
    let mut lines = Lines::of(record)?;
    let header = Header::read(&mut lines)?;
    let mut servers = Servers::of(&header);
    let mut survey = Survey::default();
    while let Some(line) = lines.next()? {
        survey.is_whole = line == Line::Stopped;
        let outcome = survey.take(&line, &mut servers);
        outcome.map_err(|text| lines.problem(text))?;
    }
    Ok(survey)
}

impl Survey {
    fn take(&mut self, line: &Line<'_>, servers: &mut Servers) -> Result<(), String> {
        match *line {
            Line::Added { id, name, .. } => servers.add(id, name).map(|_| ()),
            Line::Removed(id) => {
                servers.at(id)?;
                servers.present[id.index()] = None;
                Ok(())
            }
            Line::Served { id, response_us, .. }
            | Line::Failed { id, response_us: Some(response_us), .. } => {
                let server = servers.at(id)?;
                if self.times.len() <= server {
                    self.times.resize_with(server + 1, Histogram::default);
                }
                self.times[server].add(response_us);
                Ok(())
            }
            Line::Waited(waited) => {
                self.waited_max = self.waited_max.max(waited);
                Ok(())
            }
            Line::Lost(count) => {
                self.lost += count;
                Ok(())
            }
            Line::Picked { picked: Some(id), .. } => servers.at(id).map(|_| ()),
            Line::Changed { id, .. } => servers.at(id).map(|_| ()),
            Line::At(_) | Line::Picked { picked: None, .. } | Line::Stopped => Ok(()),
            Line::Failed { .. } | Line::Probed { .. } | Line::Reported { .. } => Ok(()),
            Line::Began(_) | Line::Ended(_) | Line::Up(_) | Line::Down(_) => Ok(()),
            Line::Leaving(_) | Line::Readmitted(_) | Line::Warmed(_) => Ok(()),
            Line::Strategy(_) | Line::Seed(_) | Line::Places(_) => Err(misplaced(line)),
            Line::QueueTimeout(_) | Line::SlowStart(_) | Line::Run => Err(misplaced(line)),
        }
    }
}

fn misplaced(line: &Line<'_>) -> String {
    format!("`{line}` belongs before `run`")
}

fn replay(record: impl BufRead, other: Strategy, survey: Survey) -> Result<Comparison, Problem> {
    let mut lines = Lines::of(record)?;
    let header = Header::read(&mut lines)?;
    let servers = Servers::of(&header);
    let numbers: Vec<usize> = servers.present.iter().copied().flatten().collect();
    let times = Times::of(&survey.times);
    let strategies = [header.setting.strategy, other];
    let mut models = strategies.map(|strategy| Model::new(&header, strategy, &numbers, &times));
    let names = header.backends.iter().map(|(name, _)| name.clone()).collect();
    let mut reading = Reading::new(servers, names, survey.waited_max);
    while let Some(line) = lines.next()? {
        if let Err(text) = reading.take(&line) {
            return Err(lines.problem(text));
        }
        reading.release(|at, event| models.iter_mut().for_each(|model| model.apply(at, event)));
    }
    reading.now = Instant::NEVER;
    reading.release(|at, event| models.iter_mut().for_each(|model| model.apply(at, event)));
    let [recorded, tried] = models.map(Model::finish);
    let Reading { servers, requests, first, last, .. } = reading;
    for results in [&recorded, &tried] {
        let served: u64 = results.picks.iter().sum();
        debug_assert!(served + results.unserved == requests, "every request is accounted for");
    }
    Ok(Comparison {
        columns: [(strategies[0], recorded), (other, tried)],
        servers: servers.names(),
        requests,
        span: last.since(first.unwrap_or(last)),
        has_times: survey.times.iter().any(|times| !times.is_empty()),
        lost: survey.lost,
        is_whole: survey.is_whole,
    })
}

/// The second reading: lines become events, in the order of their times. Only that of a request that
/// waited comes late: it is known when the wait is over.
struct Reading {
    servers: Servers,
    /// By number in the record, for what changes.
    names: Vec<String>,
    now: Instant,
    waited_max: Duration,
    /// The next request has waited so long.
    waited: Duration,
    /// The last pick was one for a request that others had failed, in vain: the next is for the same.
    is_repeated: bool,
    early: BTreeMap<(Instant, u64), Event>,
    count: u64,
    requests: u64,
    first: Option<Instant>,
    last: Instant,
}

impl Reading {
    fn new(servers: Servers, names: Vec<String>, waited_max: Duration) -> Reading {
        Reading {
            servers,
            names,
            now: Instant::START,
            waited_max,
            waited: Duration::ZERO,
            is_repeated: false,
            early: BTreeMap::new(),
            count: 0,
            requests: 0,
            first: None,
            last: Instant::START,
        }
    }

    fn take(&mut self, line: &Line<'_>) -> Result<(), String> {
        match *line {
            Line::At(at) if at < self.now => return Err("the time goes back".to_owned()),
            Line::At(at) => self.now = at,
            Line::Waited(waited) => self.waited = waited,
            Line::Picked { picked, hash, tried } => self.pick(picked, hash, tried),
            Line::Added { id, name, spec } => {
                let server = self.servers.add(id, name)?;
                if self.names.len() <= id.index() {
                    self.names.resize(id.index() + 1, String::new());
                }
                self.names[id.index()] = name.to_owned();
                self.add(self.now, Event::Added { id, server, spec: spec.named(name) });
            }
            Line::Changed { id, spec } => {
                let spec = spec.named(self.names.get(id.index()).map_or("", String::as_str));
                self.add(self.now, Event::Changed { id, spec });
            }
            Line::Leaving(id) => self.add(self.now, Event::Leaving(id)),
            Line::Readmitted(id) => self.add(self.now, Event::Readmitted(id)),
            Line::Removed(id) => {
                self.servers.at(id)?;
                self.servers.present[id.index()] = None;
                self.add(self.now, Event::Removed(id));
            }
            Line::Up(id) => self.add(self.now, Event::Up(id)),
            Line::Down(id) => self.add(self.now, Event::Down(id)),
            Line::Warmed(id) => self.add(self.now, Event::Warmed(id)),
            Line::Probed { id, duration_us } => {
                self.add(self.now, Event::Probed { id, duration_us });
            }
            Line::Reported { id, requests, errors } => {
                self.add(self.now, Event::Reported { id, requests, errors });
            }
            // These follow from the model's own choices.
            Line::Began(_) | Line::Ended(_) | Line::Served { .. } | Line::Failed { .. } => {}
            Line::Lost(_) | Line::Stopped => {}
            Line::Strategy(_) | Line::Seed(_) | Line::Places(_) => return Err(misplaced(line)),
            Line::QueueTimeout(_) | Line::SlowStart(_) | Line::Run => {
                return Err(misplaced(line));
            }
        }
        Ok(())
    }

    /// A choice is a new request unless others have failed that request before. One that could not
    /// be made is made again, or the request was not served.
    fn pick(&mut self, picked: Option<BackendId>, hash: u64, tried: &[BackendId]) {
        let is_first = tried.is_empty() && !self.is_repeated;
        self.is_repeated = picked.is_none() && !tried.is_empty();
        if picked.is_some() && is_first {
            let waited = std::mem::take(&mut self.waited);
            let arrived = self.now.as_micros().saturating_sub(waited.as_micros() as u64);
            let arrived = Instant::from_micros(arrived);
            self.requests += 1;
            self.first = Some(self.first.map_or(arrived, |first| first.min(arrived)));
            self.last = self.now;
            self.add(arrived, Event::Arrived { hash });
        }
    }

    fn add(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.early.insert((at, self.count), event);
    }

    /// Hands on what nothing can come before any more.
    fn release(&mut self, mut apply: impl FnMut(Instant, Event)) {
        while let Some(entry) = self.early.first_entry() {
            let (at, _) = *entry.key();
            if at + self.waited_max >= self.now {
                return;
            }
            apply(at, entry.remove());
        }
    }
}

/// Milliseconds with three digits at least.
struct Millis(Option<u64>);

impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            None => "-".to_owned(),
            Some(micros @ 0..10_000) => format!("{}.{:02} ms", micros / 1000, micros / 10 % 100),
            Some(micros @ 0..100_000) => format!("{}.{} ms", micros / 1000, micros / 100 % 10),
            Some(micros) => format!("{} ms", micros / 1000),
        };
        out.pad(&text)
    }
}

/// A share of all in percent.
struct Percent(u64, u64);

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permille = (self.0 * 1000 + self.1 / 2).checked_div(self.1).unwrap_or(0);
        out.pad(&format!("{}.{} %", permille / 10, permille % 10))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [(recorded, left), (other, right)] = &self.columns;
        let millis = self.span.as_millis();
        let (seconds, tenths) = (millis / 1000, millis / 100 % 10);
        let plural = if self.requests == 1 { "" } else { "s" };
        writeln!(
            out,
            "{} request{plural} in {seconds}.{tenths} s, recorded with {}\n",
            self.requests,
            recorded.name()
        )?;
        let wide = self.servers.iter().map(|name| name.chars().count() + 9).max().unwrap_or(0);
        let wide = wide.max(14);
        let mut row = |name: &str, left: &dyn fmt::Display, right: &dyn fmt::Display| {
            writeln!(out, "{name:wide$}  {left:>12}  {right:>12}")
        };
        row("", &recorded.name(), &other.name())?;
        for (server, name) in self.servers.iter().enumerate() {
            let share = |results: &Results| {
                let picks = results.picks.get(server).copied().unwrap_or(0);
                Percent(picks, results.waits.total())
            };
            row(&format!("share of {name}"), &share(left), &share(right))?;
        }
        let waited = |results: &Results| Percent(results.waited, results.waits.total());
        row("waited", &waited(left), &waited(right))?;
        let wait = |results: &Results| Millis(results.waits.percentile(99));
        row("waiting p99", &wait(left), &wait(right))?;
        for (name, percent) in [("response p50", 50), ("response p99", 99)] {
            let response = |results: &Results| {
                Millis(results.responses.percentile(percent).filter(|_| self.has_times))
            };
            row(name, &response(left), &response(right))?;
        }
        row("not served", &left.unserved, &right.unserved)?;
        if !self.has_times {
            writeln!(out, "\nThe record has no response times.")?;
        }
        if self.lost > 0 {
            writeln!(out, "\n{} lines were lost while recording.", self.lost)?;
        }
        if !self.is_whole {
            writeln!(out, "\nThe record has no end: it was cut off, or the program was killed.")?;
        }
        Ok(())
    }
}
