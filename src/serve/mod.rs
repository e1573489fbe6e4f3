//! From a configuration to a running balancer: names looked up, files read, limits set, the port
//! opened, the loop run. Every failure is one sentence with the offending value and a hint.

mod authorities;
mod authority_files;
mod backends;
mod certificates;
mod challenges;
mod check;
mod failure;
mod instances;
mod limits;
mod list_file;
mod lists;
mod members;
mod names;
mod places;
mod prepare;
mod print;
mod start;
mod takeover;
mod watched;

use crate::base::address::Address;
use crate::base::reason::reason;
use crate::config::{Config, LogTarget, Mode};
use crate::net::kernel::Kernel;
use crate::net::privileges;
use crate::net::systemd::{self, Manager, PassedSockets};
use crate::proxy::{FirstProbes, Member, Proxy, Reload, Status};
use authority_files::AuthorityFiles;
use backends::Backends;
use certificates::CertificateFiles;
use challenges::{ChallengeFiles, check_webroot};
pub use check::check;
use failure::say;
pub use failure::{Failure, RunError};
use instances::future_addresses;
use places::Places;
use prepare::{all_taken, drop_privileges, identity, log_name, open_log, system};
pub use print::print_config;
use start::{Loop, Prepared, Sockets};
use std::net::SocketAddr;
use takeover::Predecessor;
use watched::Outcome;

/// Why nothing is opened again.
const NO_LOG: &str = "there is no access log (-l) to open again";

/// Balances until a signal ends it. `listening` is called with the address, and that of the admin
/// listener, once clients can connect.
///
/// Errors: what the system refused, before the first client or while running; or a backend of the
/// command line that is this program itself.
pub fn run(
    config: Config,
    listening: impl FnOnce(SocketAddr, Option<SocketAddr>),
) -> Result<(), RunError> {
    let mut passed = PassedSockets::take(&systemd::environment).map_err(Failure)?;
    let prepared = Prepared::of(&config)?;
    let identity = identity(config.user.as_deref())?;
    let places = Places::look_up(&config)?;
    let Some(name) = takeover::find(&config, &places) else {
        let sockets = Sockets::open(&config, &places, &mut passed, None)?;
        all_taken(&passed)?;
        drop_privileges(identity)?;
        check_webroot(&config)?;
        let begun = prepared.start(config.clone(), sockets.addresses())?;
        return serve(&config, begun, sockets, None, listening);
    };
    let own = future_addresses(&places, &name);
    let mut begun = prepared.start(config.clone(), own)?;
    if takeover::probe_once(&mut begun.proxy)? == Status::Ended {
        return Ok(());
    }
    let taken = takeover::take(&name, &mut passed)?;
    if taken.is_none() {
        let place = name.place();
        say(config.events, format_args!("the balancer on {place} has ended: starting as usual"));
    }
    let (predecessor, control) = taken.unzip();
    let sockets = Sockets::open(&config, &places, &mut passed, control)?;
    // Where this process does not listen, nobody does from here on.
    drop(passed);
    drop_privileges(identity)?;
    check_webroot(&config)?;
    serve(&config, begun, sockets, predecessor, listening)
}

/// Serves until the end; a predecessor is dismissed once clients can connect here.
fn serve(
    config: &Config,
    begun: Loop,
    sockets: Sockets,
    predecessor: Option<Predecessor>,
    listening: impl FnOnce(SocketAddr, Option<SocketAddr>),
) -> Result<(), RunError> {
    let Loop { mut proxy, backends, certificates, authorities, members } = begun;
    let (address, admin) = (sockets.address.clone(), sockets.admin_address());
    let redirect = sockets.redirect_address();
    sockets.attach(config, &mut proxy)?;
    let dismissed = predecessor.map(|predecessor| -> Result<_, Failure> {
        let watchdog = predecessor.handover.watchdog;
        predecessor.pass_on(&mut proxy);
        let connection = predecessor.dismiss(&mut proxy)?;
        proxy.reclaim_listeners();
        Ok((connection, watchdog))
    });
    let dismissed = dismissed.transpose()?;
    say(config.events, format_args!("{}", start_line(config, &address, &members)));
    if privileges::is_root() {
        say(
            config.events,
            format_args!("running as root; --user NAME gives that up once the port is bound"),
        );
    }
    if let Some(at) = admin {
        say(config.events, format_args!("admin on http://{at}/"));
    }
    if let Some(at) = redirect {
        say(config.events, format_args!("redirecting to https on http://{at}/"));
    }
    if let Address::Ip(address) = address {
        listening(address, admin);
    }
    let manager = Manager::find(&systemd::environment);
    match dismissed {
        None => {
            proxy.net_mut().report_to(manager);
            proxy.report_to_manager(FirstProbes::Awaited);
        }
        // The other process waits for the end of the connection, and the manager hears of this one
        // before it hears of that end.
        Some((_connection, watchdog)) => {
            proxy.net_mut().report_to(manager.map(|manager| manager.replacing(watchdog)));
            proxy.report_to_manager(FirstProbes::Over);
        }
    }
    let challenges = ChallengeFiles::new(config);
    let files = Files { backends, certificates, authorities, challenges };
    turn_until_stopped(&mut proxy, files, config.access_log.as_ref())?;
    proxy.finish_logs();
    Ok(())
}

/// What is read while the loop turns.
struct Files {
    backends: Backends,
    certificates: CertificateFiles,
    authorities: AuthorityFiles,
    challenges: ChallengeFiles,
}

impl Files {
    /// SIGHUP: all are read. `has_log`: the access log was opened again.
    fn reload(&mut self, has_log: bool, proxy: &mut Proxy<Kernel>) {
        let has_more = has_log || !self.certificates.is_empty() || !self.authorities.is_empty();
        self.backends.reload(has_more, proxy);
        self.certificates.reload(proxy);
        self.authorities.reload(proxy);
    }

    /// Has read what has changed.
    fn look(&mut self, proxy: &mut Proxy<Kernel>) {
        self.backends.look(proxy);
        self.certificates.look(proxy);
        self.authorities.look(proxy);
    }

    /// Puts to use what was read since the last turn.
    fn advance(&mut self, proxy: &mut Proxy<Kernel>) {
        self.backends.advance(proxy);
        self.certificates.advance(proxy);
        self.authorities.advance(proxy);
        self.challenges.advance(proxy);
    }

    /// SIGHUP was not carried out yet.
    fn is_reloading(&self) -> bool {
        let Files { backends, certificates, authorities, challenges: _ } = self;
        backends.is_reloading() || certificates.is_reloading() || authorities.is_reloading()
    }

    /// What a reload of all has come to.
    fn outcome(&self) -> Outcome {
        let others = [self.certificates.outcome(), self.authorities.outcome()];
        joined(std::iter::once(self.backends.outcome()).chain(others.into_iter().flatten()))
    }
}

/// Turns the loop, and does between two turns what it asks for: files are read, logs are reopened,
/// names are looked up.
fn turn_until_stopped(
    proxy: &mut Proxy<Kernel>,
    mut files: Files,
    log: Option<&LogTarget>,
) -> Result<(), Failure> {
    let mut is_reloading = false;
    files.backends.begin(proxy);
    while proxy.turn().map_err(system)? == Status::Running {
        match proxy.take_reload() {
            Some(Reload::Now) => {
                let reopened = log.map(|log| reopen_log(log, proxy));
                // SIGHUP includes what was asked for with it.
                proxy.answer_reopen(&reopened.unwrap_or_else(|| Err(NO_LOG.to_owned())));
                proxy.set_reloading(true);
                files.reload(log.is_some(), proxy);
                is_reloading = true;
            }
            Some(Reload::Logs) => {
                let outcome = match log {
                    Some(log) => reopen_log(log, proxy),
                    None => {
                        proxy.log_event(format_args!("SIGUSR1: no access log (-l) to reopen"));
                        Err(NO_LOG.to_owned())
                    }
                };
                proxy.answer_reopen(&outcome);
                proxy.log_state();
                files.look(proxy);
            }
            Some(Reload::IfChanged) => files.look(proxy),
            None => {}
        }
        if proxy.take_lookup() {
            files.backends.look_up_again(proxy);
        }
        files.advance(proxy);
        if is_reloading && !files.is_reloading() {
            is_reloading = false;
            proxy.set_reloading(false);
            proxy.answer_reload(&files.outcome());
        }
    }
    Ok(())
}

/// What several have come to: what has failed, if anything has.
fn joined<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Outcome {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(line) => done.push(line.as_str()),
            Err(line) => failed.push(line.as_str()),
        }
    }
    if failed.is_empty() { Ok(done.join("; ")) } else { Err(failed.join("; ")) }
}

/// Begins a new log, after the previous one was moved away; what happened, in words.
///
/// Errors: the previous one stays in use.
fn reopen_log(log: &LogTarget, proxy: &mut Proxy<Kernel>) -> Result<String, String> {
    let opened = open_log(log).map_err(|failure| failure.to_string());
    let outcome = opened.and_then(|file| {
        proxy.hand_over_logs();
        let outcome = proxy.net_mut().log_access_to(file);
        outcome.map_err(|error| format!("cannot reopen {}: {}", log_name(log), reason(&error)))
    });
    let outcome = match outcome {
        Ok(()) => Ok(format!("reopened {}", log_name(log))),
        Err(problem) => Err(format!("{problem}; still using the previous log")),
    };
    let (Ok(line) | Err(line)) = &outcome;
    proxy.log_event(format_args!("{line}"));
    outcome
}

/// The line that says where it listens and over which backends it balances by which strategy.
fn start_line(config: &Config, address: &Address, members: &[Member]) -> String {
    let scheme = match (config.mode, config.certificates.is_empty()) {
        (Mode::Tcp, true) => "tcp",
        (Mode::Tcp, false) => "tls",
        (Mode::Http | Mode::Redirect, true) => "http",
        (Mode::Http | Mode::Redirect, false) => "https",
    };
    let verb = match config.mode {
        Mode::Http | Mode::Tcp => "balancing",
        Mode::Redirect => "redirecting",
    };
    let shown = match address {
        Address::Ip(address) if address.ip().is_unspecified() => {
            format!("{scheme}://localhost:{} (all interfaces)", address.port())
        }
        Address::Ip(address) => format!("{scheme}://{address}"),
        Address::Unix(name) => name.to_string(),
    };
    let name = |member: &Member| match member.spec.admin.word() {
        "" => member.spec.to_string(),
        word => format!("{} ({word})", member.spec),
    };
    let names: Vec<String> = members.iter().map(name).collect();
    let (strategy, count) = (config.strategy.name(), names.len());
    let plural = if count == 1 { "" } else { "s" };
    let colon = if count == 0 { "" } else { ": " };
    let over = format!("{count} backend{plural}{colon}{}", names.join(" "));
    format!("listening on {shown}, {verb} by {strategy} over {over}")
}
