//! `--check`: everything up to serving, then one probe of every backend; and the verdicts in words.
//! Serves nobody.

use super::backends::Backends;
use super::certificates::read_certificates;
use super::challenges::check_webroot;
use super::failure::{Failure, say};
use super::instances::{future_addresses, replaceable};
use super::limits::{FILES_UNKNOWN, limits, report_limits};
use super::lists::{Lists, read_authorities, read_lists};
use super::places::Places;
use super::prepare::{
    cannot_open, check_record, drop_privileges, error_pages, identity, open_admin, open_listener,
    open_redirect, sticky_key, system,
};
use crate::base::address::Address;
use crate::base::connect_fault::ConnectFault;
use crate::config::{Config, EventFormat, LogTarget, OwnAddresses, Reach};
use crate::health::{Check, Page, ProbeFault, Settings};
use crate::net::kernel::Kernel;
use crate::net::listen;
use crate::net::log_file::LogFile;
use crate::net::systemd::PassedSockets;
use crate::net::tls::Authorities;
use crate::proxy::{Limits, Member, ProbeResult, Proxy, Status};
use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::time::Duration;

/// Longest time between two probes: one that could not start for want of descriptors is due again.
const INTERVAL_MAX: Duration = Duration::from_secs(1);

/// How long probes that cannot start are waited for, beyond the time-outs of those that do.
const START_MAX: Duration = Duration::from_secs(5);

/// Checks `config` and prints a line per backend to `out`; true if nothing is wrong. What is wrong
/// elsewhere is reported on standard error.
///
/// Errors: what the system refused.
pub fn check(config: Config, reach: Reach, out: &mut impl Write) -> Result<bool, Failure> {
    let mut problems = Problems { format: config.events, count: 0 };
    let mut lists = problems.note(read_lists(&config));
    let authorities =
        lists.as_mut().and_then(|lists| problems.note(read_authorities(lists, &config)).flatten());
    let skipped = lists.as_ref().map_or(0, |lists| lists.skipped);
    problems.count += skipped;
    problems.note(error_pages(&config));
    problems.note(read_certificates(&config));
    problems.note(sticky_key(&config));
    problems.note(check_log(&config));
    problems.note(config.record.as_deref().map(check_record).transpose());
    let files = listen::raise_file_limit().unwrap_or(FILES_UNKNOWN);
    let limits = limits(files, &config);
    report_limits(files, &limits, config.events);
    // What listens there may be what is to be replaced.
    let mut own = OwnAddresses::default();
    if reach == Reach::Backends
        && let Some(places) = problems.note(Places::look_up(&config))
    {
        let replaced = config.takeover.then(|| replaceable(&config, &places)).flatten();
        own = match replaced {
            Some(name) => future_addresses(&places, &name),
            None => problems.open_listeners(&config, &places),
        };
    }
    problems.note(identity(config.user.as_deref()).and_then(drop_privileges));
    problems.note(check_webroot(&config));
    if let Some(lists) = lists.filter(|_| reach == Reach::Backends) {
        problems.count += check_backends(config, limits, (lists, authorities), own, out)?;
    }
    let line = match problems.count {
        0 => "the configuration is valid".to_owned(),
        1 => "the check found 1 problem".to_owned(),
        count => format!("the check found {count} problems"),
    };
    say(problems.format, format_args!("{line}"));
    Ok(problems.count == 0)
}

/// How many there are.
struct Problems {
    format: EventFormat,
    count: usize,
}

impl Problems {
    /// Reports and counts a failure.
    fn note<T>(&mut self, outcome: Result<T, Failure>) -> Option<T> {
        if let Err(failure) = &outcome {
            say(self.format, format_args!("{failure}"));
            self.count += 1;
        }
        outcome.ok()
    }

    /// Opens every listener and closes it again; where they were.
    fn open_listeners(&mut self, config: &Config, places: &Places) -> OwnAddresses {
        let none = &mut PassedSockets::default();
        let listener = self.note(open_listener(config, places, none));
        let admin = self.note(open_admin(config, places, none)).flatten();
        let redirect = self.note(open_redirect(config, places, none)).flatten();
        let others = [admin, redirect].into_iter().flatten().map(|(_, at)| at);
        match listener.and_then(|listener| listener.address().ok()) {
            Some(Address::Ip(at)) => OwnAddresses::new(others.chain([at]).collect()),
            Some(socket) => OwnAddresses::new(others.collect()).with_socket(&socket),
            None => OwnAddresses::new(others.collect()),
        }
    }
}

fn check_log(config: &Config) -> Result<(), Failure> {
    let Some(log) = &config.access_log else { return Ok(()) };
    let outcome = match log {
        LogTarget::Stdout => LogFile::stdout().map(|_| ()),
        LogTarget::File(path) => LogFile::check(path),
    };
    outcome.map_err(|error| cannot_open(log, &error))
}

/// Probes every backend once; how many cannot be used.
fn check_backends(
    mut config: Config,
    limits: Limits,
    (lists, authorities): (Lists, Option<Authorities>),
    own: OwnAddresses,
    out: &mut impl Write,
) -> Result<usize, Failure> {
    let mut kernel = Kernel::new().map_err(system)?;
    // They would say the same in other words.
    kernel.discard_events();
    if let Some(authorities) = authorities {
        kernel.trust(authorities);
    }
    let resolved = Backends::look_up(lists, kernel.waker(), own).resolved();
    let members = resolved.iter().filter_map(|(_, member)| member.clone().ok()).collect::<Vec<_>>();
    if config.health.check == Check::Off {
        config.health.check = Check::Tcp;
    }
    config.health.interval = config.health.interval.min(INTERVAL_MAX);
    let settings = config.health.clone();
    let mut results = probe(kernel, config, limits, members)?.into_iter();
    let mut unusable = 0;
    for (name, member) in &resolved {
        let verdict = match member {
            Ok(_) => Verdict::of(results.next().flatten(), &settings),
            Err(problem) => Verdict::Unusable(problem),
        };
        unusable += usize::from(!verdict.is_up());
        // A reader that is gone has seen enough; the exit status says the rest.
        let _ = writeln!(out, "backend {name}: {verdict}");
    }
    Ok(unusable)
}

/// The result of the first probe of each member, in their order; none for one that did not end.
fn probe(
    kernel: Kernel,
    config: Config,
    limits: Limits,
    members: Vec<Member>,
) -> Result<Vec<Option<ProbeResult>>, Failure> {
    let addresses_max = members.iter().map(|member| member.addresses.len()).max().unwrap_or(0);
    let count = members.len();
    let wait = config.health.timeout * addresses_max as u32 + START_MAX;
    let mut proxy = Proxy::new(kernel, config, members, limits, HashMap::new(), listen::seed());
    let deadline = proxy.now() + wait;
    let mut results = vec![None; count];
    // A signal to stop ends the check as well.
    while results.iter().any(Option::is_none)
        && proxy.now() < deadline
        && proxy.turn().map_err(system)? == Status::Running
    {
        for (first, last) in results.iter_mut().zip(proxy.last_probes()) {
            *first = first.take().or(last.cloned());
        }
    }
    Ok(results)
}

/// What a check says of one backend, with the time it took.
enum Verdict<'a> {
    Unusable(&'a str),
    NotProbed,
    Probed { result: ProbeResult, settings: &'a Settings },
}

impl<'a> Verdict<'a> {
    fn of(result: Option<ProbeResult>, settings: &'a Settings) -> Verdict<'a> {
        result.map_or(Verdict::NotProbed, |result| Verdict::Probed { result, settings })
    }

    fn is_up(&self) -> bool {
        match self {
            Verdict::Unusable(_) | Verdict::NotProbed => false,
            Verdict::Probed { result, .. } => result.outcome.is_ok(),
        }
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (result, settings) = match self {
            Verdict::Unusable(problem) => return out.write_str(problem),
            Verdict::NotProbed => {
                return out
                    .write_str("not probed: no descriptor or port was left, or it was ended");
            }
            Verdict::Probed { result, settings } => (result, settings),
        };
        match result.outcome {
            Ok(Page::Found) => out.write_str("up")?,
            Ok(Page::Missing) => {
                write!(out, "up, 404 for {} {}", settings.method.name(), settings.path)?;
            }
            Err(ProbeFault::Connect(ConnectFault::System(ErrorKind::ConnectionRefused))) => {
                out.write_str("refused")?
            }
            Err(ProbeFault::Connect(ConnectFault::System(ErrorKind::TimedOut))) => {
                out.write_str("time-out, could not connect")?;
            }
            Err(ProbeFault::Connect(ConnectFault::Handshake(fault))) => match &result.words {
                Some(words) => out.write_str(words)?,
                None => write!(out, "{fault}")?,
            },
            Err(ProbeFault::Connect(fault)) => write!(out, "could not connect, {fault}")?,
            Err(ProbeFault::TimedOut) => out.write_str("time-out, connected but no answer")?,
            Err(ProbeFault::Status(status)) => write!(out, "status {status}")?,
            Err(ProbeFault::Broken) => out.write_str("no HTTP answer")?,
            Err(ProbeFault::Unexpected) => out.write_str("another answer than expected")?,
            Err(ProbeFault::TooLong) => out.write_str("the answer is too long")?,
        }
        let micros = result.took.as_micros();
        write!(out, ", {}.{} ms", micros / 1000, micros / 100 % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_tells_what_is_wrong_apart() {
        let settings = Settings::default();
        for (outcome, expected) in [
            (Ok(Page::Found), "up, 1.2 ms"),
            (Ok(Page::Missing), "up, 404 for GET /healthcheck, 1.2 ms"),
            (Err(ProbeFault::Connect(ErrorKind::ConnectionRefused.into())), "refused, 1.2 ms"),
            (
                Err(ProbeFault::Connect(ErrorKind::TimedOut.into())),
                "time-out, could not connect, 1.2 ms",
            ),
            (
                Err(ProbeFault::Connect(ErrorKind::NetworkUnreachable.into())),
                "could not connect, network unreachable, 1.2 ms",
            ),
            (Err(ProbeFault::TimedOut), "time-out, connected but no answer, 1.2 ms"),
            (Err(ProbeFault::Status(500)), "status 500, 1.2 ms"),
            (Err(ProbeFault::Broken), "no HTTP answer, 1.2 ms"),
            (Err(ProbeFault::TooLong), "the answer is too long, 1.2 ms"),
        ] {
            let result = ProbeResult { took: Duration::from_micros(1_234), outcome, words: None };
            let verdict = Verdict::of(Some(result), &settings);
            assert_eq!(verdict.to_string(), expected);
            assert_eq!(verdict.is_up(), outcome.is_ok(), "{expected}");
        }
        assert!(!Verdict::of(None, &settings).is_up(), "one that was not probed");
    }
}
