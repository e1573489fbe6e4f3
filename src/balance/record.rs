//! Every input of a [`Balancer`](super::Balancer) as a line of text, so that a run's choices can be
//! made again: what the proxy writes with `--record` and `loadbalancer replay` reads. The manual's
//! chapter `replay` describes the format.

use super::candidate::{AdminState, Spec};
use super::strategy::Strategy;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use std::fmt;
use std::str::SplitAsciiWhitespace;
use std::time::Duration;

/// The first line. Another number is another format.
pub const VERSION_LINE: &str = "loadbalancer-record 1";

/// What the run was like: the lines between the first one and `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub strategy: Strategy,
    pub seed: u64,
    /// Requests in flight at most.
    pub places: usize,
    /// Longest wait for a place.
    pub queue: Duration,
    /// How long a backend that came back or was added warms up; zero: not at all.
    pub slow_start: Duration,
}

impl Setting {
    /// The lines that say so.
    pub fn lines(self) -> impl Iterator<Item = Line<'static>> {
        let Setting { strategy, seed, places, queue, slow_start } = self;
        let always = [
            Line::Strategy(strategy),
            Line::Seed(seed),
            Line::Places(places),
            Line::QueueTimeout(queue),
        ];
        // A record without it is one of a version that had no slow start.
        let warms = (!slow_start.is_zero()).then_some(Line::SlowStart(slow_start));
        always.into_iter().chain(warms)
    }
}

/// One line after the first: an input of the balancer, or what a reader has to know beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Strategy(Strategy),
    Seed(u64),
    Places(usize),
    QueueTimeout(Duration),
    SlowStart(Duration),
    /// The balancer begins, with the backends added so far.
    Run,
    /// The time of the lines that follow.
    At(Instant),
    Added {
        id: BackendId,
        name: &'a str,
        spec: Settings,
    },
    Changed {
        id: BackendId,
        spec: Settings,
    },
    /// It was removed and has requests in flight.
    Leaving(BackendId),
    /// It was added again before it had left.
    Readmitted(BackendId),
    Removed(BackendId),
    Up(BackendId),
    Down(BackendId),
    /// It came back or was added, and warms up.
    Warmed(BackendId),
    /// The next request that is picked for has waited for a place.
    Waited(Duration),
    Picked {
        picked: Option<BackendId>,
        hash: u64,
        tried: &'a [BackendId],
    },
    Began(BackendId),
    Ended(BackendId),
    Served {
        id: BackendId,
        response_us: u64,
        at: Instant,
    },
    Failed {
        id: BackendId,
        response_us: Option<u64>,
        at: Instant,
    },
    Probed {
        id: BackendId,
        duration_us: u64,
    },
    Reported {
        id: BackendId,
        requests: u64,
        errors: u64,
    },
    /// So many lines could not be written here.
    Lost(u64),
    /// The program has ended in order.
    Stopped,
}

/// A [`Spec`] without the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub weight: u32,
    pub backup: bool,
    pub pairs_max: Option<u32>,
    pub admin: AdminState,
}

impl Settings {
    /// Of a configured backend.
    pub fn of(spec: Spec) -> Settings {
        let Spec { weight, backup, pairs_max, admin, id: _ } = spec;
        Settings { weight, backup, pairs_max, admin }
    }

    /// With the name of the backend, from which its place on the hash ring follows.
    pub fn named(self, name: &str) -> Spec {
        let Settings { weight, backup, pairs_max, admin } = self;
        Spec { weight, backup, pairs_max, admin, id: super::hash(name.as_bytes()) }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "weight={}", self.weight)?;
        if let Some(max) = self.pairs_max {
            write!(out, " max={max}")?;
        }
        if self.backup {
            out.write_str(" backup")?;
        }
        match self.admin {
            AdminState::Ready => Ok(()),
            AdminState::Drain | AdminState::Down => write!(out, " {}", self.admin.word()),
        }
    }
}

/// The index of a backend.
struct Index(BackendId);

impl fmt::Display for Index {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.index().fmt(out)
    }
}

/// A number, or `-` for none.
struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("-"),
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Line::Strategy(strategy) => write!(out, "strategy {}", strategy.name()),
            Line::Seed(seed) => write!(out, "seed {seed:016x}"),
            Line::Places(places) => write!(out, "places {places}"),
            Line::QueueTimeout(span) => write!(out, "queue-timeout {}", span.as_micros()),
            Line::SlowStart(span) => write!(out, "slow-start {}", span.as_micros()),
            Line::Run => out.write_str("run"),
            Line::At(at) => write!(out, "at {}", at.as_micros()),
            Line::Added { id, name, spec } => write!(out, "add {} {name} {spec}", Index(id)),
            Line::Changed { id, spec } => write!(out, "change {} {spec}", Index(id)),
            Line::Leaving(id) => write!(out, "leave {}", Index(id)),
            Line::Readmitted(id) => write!(out, "readmit {}", Index(id)),
            Line::Removed(id) => write!(out, "remove {}", Index(id)),
            Line::Up(id) => write!(out, "up {}", Index(id)),
            Line::Down(id) => write!(out, "down {}", Index(id)),
            Line::Warmed(id) => write!(out, "warm {}", Index(id)),
            Line::Waited(span) => write!(out, "waited {}", span.as_micros()),
            Line::Picked { picked, hash, tried } => {
                write!(out, "pick {} {hash:x}", OrDash(picked.map(Index)))?;
                tried.iter().try_for_each(|&id| write!(out, " {}", Index(id)))
            }
            Line::Began(id) => write!(out, "begin {}", Index(id)),
            Line::Ended(id) => write!(out, "end {}", Index(id)),
            Line::Served { id, response_us, at } => {
                write!(out, "served {} {response_us} {}", Index(id), at.as_micros())
            }
            Line::Failed { id, response_us, at } => {
                write!(out, "failed {} {} {}", Index(id), OrDash(response_us), at.as_micros())
            }
            Line::Probed { id, duration_us } => write!(out, "probed {} {duration_us}", Index(id)),
            Line::Reported { id, requests, errors } => {
                write!(out, "load {} {requests} {errors}", Index(id))
            }
            Line::Lost(count) => write!(out, "lost {count}"),
            Line::Stopped => out.write_str("stopped"),
        }
    }
}

/// Reads lines; keeps the storage of the longest one.
#[derive(Debug, Default)]
pub struct Parser {
    tried: Vec<BackendId>,
}

/// The words of a line that were not read yet.
struct Words<'a>(SplitAsciiWhitespace<'a>);

/// What one line lacks or has too much.
type Problem = String;

impl<'a> Words<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str, Problem> {
        self.0.next().ok_or_else(|| format!("expected {what}, the line ends"))
    }

    fn number<T: TryFrom<u64>>(&mut self, what: &str) -> Result<T, Problem> {
        number(self.next(what)?, what)
    }

    fn hex(&mut self, what: &str) -> Result<u64, Problem> {
        let word = self.next(what)?;
        let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(word, 16).ok().filter(|_| is_hex).ok_or_else(|| wrong(word, what))
    }

    /// A number, or none for `-`.
    fn optional<T: TryFrom<u64>>(&mut self, what: &str) -> Result<Option<T>, Problem> {
        match self.next(what)? {
            "-" => Ok(None),
            word => number(word, what).map(Some),
        }
    }

    fn id(&mut self) -> Result<BackendId, Problem> {
        self.number("the number of a backend").map(id)
    }

    fn time(&mut self) -> Result<Instant, Problem> {
        self.number("a time in microseconds").map(Instant::from_micros)
    }

    fn micros(&mut self) -> Result<Duration, Problem> {
        self.number("microseconds").map(Duration::from_micros)
    }

    fn settings(&mut self) -> Result<Settings, Problem> {
        let (pairs_max, admin) = (None, AdminState::Ready);
        let mut settings = Settings { weight: 1, backup: false, pairs_max, admin };
        for word in self.0.by_ref() {
            match word.split_once('=') {
                Some(("weight", value)) => settings.weight = number(value, "a weight")?,
                Some(("max", value)) => settings.pairs_max = Some(number(value, "a limit")?),
                None if word == "backup" => settings.backup = true,
                None if word == "drain" => settings.admin = AdminState::Drain,
                None if word == "down" => settings.admin = AdminState::Down,
                Some(_) | None => {
                    return Err(wrong(word, "weight=N, max=N, backup, drain or down"));
                }
            }
        }
        match settings.weight {
            0 => Err("expected a weight of 1 or more".to_owned()),
            _ => Ok(settings),
        }
    }

    fn end(mut self) -> Result<(), Problem> {
        self.0.next().map_or(Ok(()), |word| Err(wrong(word, "the end of the line")))
    }
}

fn id(index: u32) -> BackendId {
    BackendId::new(index as usize)
}

fn wrong(word: &str, what: &str) -> Problem {
    let shown: String = word.chars().take(40).collect();
    format!("expected {what}, got `{}`", shown.escape_debug())
}

fn number<T: TryFrom<u64>>(word: &str, what: &str) -> Result<T, Problem> {
    let is_digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number = word.parse::<u64>().ok().filter(|_| is_digits);
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| wrong(word, what))
}

impl Parser {
    /// Reads one line, without its end.
    ///
    /// Errors: what was expected in it, and what is there.
    pub fn line<'a>(&'a mut self, text: &'a str) -> Result<Line<'a>, Problem> {
        let mut words = Words(text.split_ascii_whitespace());
        let line = match words.next("a word")? {
            "strategy" => {
                let name = words.next("a strategy")?;
                let strategy = Strategy::from_name(name);
                Line::Strategy(strategy.ok_or_else(|| wrong(name, "a strategy"))?)
            }
            "seed" => Line::Seed(words.hex("a seed")?),
            "places" => match words.number::<u32>("a number of places")? {
                0 => return Err("expected 1 place or more".to_owned()),
                places => Line::Places(places as usize),
            },
            "queue-timeout" => Line::QueueTimeout(words.micros()?),
            "slow-start" => Line::SlowStart(words.micros()?),
            "run" => Line::Run,
            "at" => Line::At(words.time()?),
            "add" => {
                let (id, name) = (words.id()?, words.next("the name of a backend")?);
                Line::Added { id, name, spec: words.settings()? }
            }
            "change" => Line::Changed { id: words.id()?, spec: words.settings()? },
            "leave" => Line::Leaving(words.id()?),
            "readmit" => Line::Readmitted(words.id()?),
            "remove" => Line::Removed(words.id()?),
            "up" => Line::Up(words.id()?),
            "down" => Line::Down(words.id()?),
            "warm" => Line::Warmed(words.id()?),
            "waited" => Line::Waited(words.micros()?),
            "pick" => {
                let picked = words.optional("the number of a backend or -")?.map(id);
                let hash = words.hex("a hash")?;
                self.tried.clear();
                for word in words.0.by_ref() {
                    self.tried.push(number(word, "the number of a backend").map(id)?);
                }
                Line::Picked { picked, hash, tried: &self.tried }
            }
            "begin" => Line::Began(words.id()?),
            "end" => Line::Ended(words.id()?),
            "served" => {
                let (id, response_us) = (words.id()?, words.number("microseconds")?);
                Line::Served { id, response_us, at: words.time()? }
            }
            "failed" => {
                let (id, response_us) = (words.id()?, words.optional("microseconds or -")?);
                Line::Failed { id, response_us, at: words.time()? }
            }
            "probed" => {
                Line::Probed { id: words.id()?, duration_us: words.number("microseconds")? }
            }
            "load" => {
                let (id, requests) = (words.id()?, words.number("a number of requests")?);
                Line::Reported { id, requests, errors: words.number("a number of errors")? }
            }
            "lost" => Line::Lost(words.number("a number of lines")?),
            "stopped" => Line::Stopped,
            word => return Err(wrong(word, "a line of a record")),
        };
        words.end()?;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_as_it_was_written() {
        let (at, one) = (Instant::from_micros(77), id(1));
        let (weight, backup, pairs_max) = (3, true, Some(9));
        let spec = Settings { weight, backup, pairs_max, admin: AdminState::Drain };
        let (weight, backup, pairs_max) = (1, false, None);
        let plain = Settings { weight, backup, pairs_max, admin: AdminState::Ready };
        for (line, text) in [
            (Line::Strategy(Strategy::LeastTime), "strategy least-time"),
            (Line::Seed(0xab), "seed 00000000000000ab"),
            (Line::Places(448), "places 448"),
            (Line::QueueTimeout(Duration::from_secs(30)), "queue-timeout 30000000"),
            (Line::SlowStart(Duration::from_secs(60)), "slow-start 60000000"),
            (Line::Run, "run"),
            (Line::At(at), "at 77"),
            (Line::Added { id: one, name: "a:80", spec }, "add 1 a:80 weight=3 max=9 backup drain"),
            (Line::Changed { id: one, spec: plain }, "change 1 weight=1"),
            (Line::Leaving(one), "leave 1"),
            (Line::Readmitted(one), "readmit 1"),
            (Line::Removed(one), "remove 1"),
            (Line::Up(one), "up 1"),
            (Line::Down(one), "down 1"),
            (Line::Warmed(one), "warm 1"),
            (Line::Waited(Duration::from_millis(2)), "waited 2000"),
            (Line::Picked { picked: Some(one), hash: 0xff, tried: &[] }, "pick 1 ff"),
            (Line::Picked { picked: None, hash: 0, tried: &[one, id(2)] }, "pick - 0 1 2"),
            (Line::Began(one), "begin 1"),
            (Line::Ended(one), "end 1"),
            (Line::Served { id: one, response_us: 350, at }, "served 1 350 77"),
            (Line::Failed { id: one, response_us: Some(5), at }, "failed 1 5 77"),
            (Line::Failed { id: one, response_us: None, at }, "failed 1 - 77"),
            (Line::Probed { id: one, duration_us: 280 }, "probed 1 280"),
            (Line::Reported { id: one, requests: 17, errors: 3 }, "load 1 17 3"),
            (Line::Lost(4), "lost 4"),
            (Line::Stopped, "stopped"),
        ] {
            assert_eq!(line.to_string(), text);
            assert_eq!(Parser::default().line(text), Ok(line), "{text}");
        }
    }

    #[test]
    fn a_bad_line_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("", "expected a word, the line ends"),
            ("pock 1", "expected a line of a record, got `pock`"),
            ("begin", "expected the number of a backend, the line ends"),
            ("begin x", "expected the number of a backend, got `x`"),
            ("begin +1", "expected the number of a backend, got `+1`"),
            ("begin 4294967296", "expected the number of a backend, got `4294967296`"),
            ("begin 1 2", "expected the end of the line, got `2`"),
            ("pick 1 xyz", "expected a hash, got `xyz`"),
            ("pick 1 +f", "expected a hash, got `+f`"),
            ("pick 1 f -", "expected the number of a backend, got `-`"),
            ("add 1 a:80 weight=0", "expected a weight of 1 or more"),
            (
                "add 1 a:80 colour=1",
                "expected weight=N, max=N, backup, drain or down, got `colour=1`",
            ),
            ("places 0", "expected 1 place or more"),
            ("strategy best", "expected a strategy, got `best`"),
            ("served 1 2", "expected a time in microseconds, the line ends"),
            ("lost \u{1b}[2J", "expected a number of lines, got `\\u{1b}[2J`"),
        ] {
            assert_eq!(Parser::default().line(text), Err(expected.to_owned()), "{text}");
        }
    }
}
