//! From a configuration to a running balancer: names looked up, files read, limits set, the port
//! opened, the loop run. Every failure is one sentence with the offending value and a hint.

mod backends;
mod check;
mod failure;
mod limits;
mod list_file;
mod names;
mod prepare;
mod print;

use crate::base::reason::reason;
use crate::config::{BackendSpec, Config, LogTarget, Mode, OwnAddresses};
use crate::net::kernel::Kernel;
use crate::net::listen;
use crate::net::privileges;
use crate::net::systemd::{self, Manager, PassedSockets};
use crate::proxy::{ListenerSettings, Member, Proxy, Reload, Scheme, Status};
use backends::Backends;
pub use check::check;
use failure::say;
pub use failure::{Failure, RunError};
use limits::{FILES_UNKNOWN, limits, report_limits};
use prepare::{
    all_taken, drop_privileges, error_pages, log_name, open_admin, open_control, open_listener,
    open_log, open_record, system,
};
pub use print::print_config;
use std::iter;
use std::net::SocketAddr;

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
    // Next what may wait for others, as signals end the program until the kernel is opened.
    let lists = backends::read_lists(&config)?;
    let error_pages = error_pages(&config)?;
    let log = config.access_log.clone();
    let access = log.as_ref().map(open_log).transpose()?;
    let record = config.record.as_deref().map(open_record).transpose()?;
    let files = listen::raise_file_limit().unwrap_or(FILES_UNKNOWN);
    let limits = limits(files, &config);
    report_limits(files, &limits, config.events);
    let listener = open_listener(&config, &mut passed)?;
    let address = listener.local_addr().map_err(system)?;
    let admin = open_admin(&config, &mut passed)?;
    all_taken(&passed)?;
    drop_privileges(config.user.as_deref(), access.as_ref())?;
    let mut kernel = Kernel::new().map_err(system)?;
    let own = iter::once(address).chain(admin.as_ref().map(|(_, at)| *at)).collect();
    let own = OwnAddresses::new(own);
    let (backends, members) = Backends::resolve(lists, kernel.waker(), own, &config)?;
    if let Some(file) = access {
        kernel.log_access_to(file).map_err(system)?;
    }
    if let Some(file) = record {
        kernel.record_to(file).map_err(system)?;
    }
    let has_control = match open_control(&config, address) {
        Some(socket) => kernel.steer_by(socket).map(|()| true).map_err(system)?,
        None => false,
    };
    kernel.report_to(Manager::find(&systemd::environment));
    if config.verbose {
        kernel.write_stderr_by_thread().map_err(system)?;
    }
    say(config.events, format_args!("{}", start_line(&config, address, &members)));
    if privileges::is_root() {
        say(
            config.events,
            format_args!("running as root; --user NAME gives that up once the port is bound"),
        );
    }
    if let Some((_, at)) = &admin {
        say(config.events, format_args!("admin on http://{at}/"));
    }
    listening(address, admin.as_ref().map(|(_, at)| *at));
    let settings = ListenerSettings { address, scheme: Scheme::Http, service: config.mode.into() };
    let mut proxy = Proxy::new(kernel, config, members, limits, error_pages, listen::seed());
    proxy.listen(listener, settings).map_err(system)?;
    if let Some((listener, at)) = admin {
        proxy.listen(listener, ListenerSettings::admin(at)).map_err(system)?;
    }
    if has_control {
        proxy.listen_control();
    }
    turn_until_stopped(&mut proxy, backends, log.as_ref())?;
    proxy.finish_logs();
    Ok(())
}

/// Turns the loop, and does between two turns what it asks for: files are read, logs are reopened,
/// names are looked up.
fn turn_until_stopped(
    proxy: &mut Proxy<Kernel>,
    mut backends: Backends,
    log: Option<&LogTarget>,
) -> Result<(), Failure> {
    backends.begin(proxy);
    while proxy.turn().map_err(system)? == Status::Running {
        match proxy.take_reload() {
            Some(Reload::Now) => {
                let reopened = log.map(|log| reopen_log(log, proxy));
                // SIGHUP includes what was asked for with it.
                proxy.answer_reopen(&reopened.unwrap_or_else(|| Err(NO_LOG.to_owned())));
                proxy.set_reloading(true);
                backends.reload(log.is_some(), proxy);
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
                backends.look(proxy);
            }
            Some(Reload::IfChanged) => backends.look(proxy),
            None => {}
        }
        backends.advance(proxy);
        if !backends.is_reloading() {
            proxy.set_reloading(false);
            proxy.answer_reload(backends.outcome());
        }
    }
    Ok(())
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
fn start_line(config: &Config, address: SocketAddr, members: &[Member]) -> String {
    let scheme = if config.mode == Mode::Tcp { "tcp" } else { "http" };
    let verb = match config.mode {
        Mode::Http | Mode::Tcp => "balancing",
        Mode::Redirect => "redirecting",
    };
    let shown = if address.ip().is_unspecified() {
        format!("{scheme}://localhost:{} (all interfaces)", address.port())
    } else {
        format!("{scheme}://{address}")
    };
    let name = |member: &Member| {
        let BackendSpec { endpoint, admin, .. } = &member.spec;
        match admin.word() {
            "" => endpoint.to_string(),
            word => format!("{endpoint} ({word})"),
        }
    };
    let names: Vec<String> = members.iter().map(name).collect();
    let (strategy, count) = (config.strategy.name(), names.len());
    let plural = if count == 1 { "" } else { "s" };
    let colon = if count == 0 { "" } else { ": " };
    let over = format!("{count} backend{plural}{colon}{}", names.join(" "));
    format!("listening on {shown}, {verb} by {strategy} over {over}")
}
