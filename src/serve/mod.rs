//! From a configuration to a running balancer: names looked up, files read, limits set, the port
//! opened, the loop run. Every failure is one sentence with the offending value and a hint.

mod backends;
mod failure;
mod limits;
mod list_file;
mod names;

use crate::base::reason::reason;
use crate::config::{Config, LogTarget, Mode, quote};
use crate::net::files::read_regular;
use crate::net::kernel::Kernel;
use crate::net::listen;
use crate::net::log_file::LogFile;
use crate::net::privileges::{self, Identity};
use crate::proxy::{ListenerSettings, Member, Proxy, Reload, Scheme, Status};
use backends::Backends;
pub use failure::Failure;
use failure::say;
use limits::{FILES_UNKNOWN, limits, report_limits};
use std::collections::HashMap;
use std::io::{self};
use std::net::SocketAddr;

/// Largest page for `--error-page`, in bytes: with its head it must fit into one buffer.
const PAGE_BYTES_MAX: u64 = 8 * 1024;

const _: () = assert!(PAGE_BYTES_MAX as usize + 2048 <= crate::base::buffer::LARGE_BYTES);

/// Balances until a signal ends it. `listening` is called with the address once clients can
/// connect.
///
/// Errors: what the system refused, before the first client or while running.
pub fn run(config: Config, listening: impl FnOnce(SocketAddr)) -> Result<(), Failure> {
    let system = |error: io::Error| {
        Failure(format!("the system refused what the loop needs: {}", reason(&error)))
    };
    // First what may wait for others, as signals end the program until the kernel is opened.
    let lists = backends::read_lists(&config)?;
    let error_pages = error_pages(&config)?;
    let log = config.access_log.clone();
    let access = log.as_ref().map(open_log).transpose()?;
    let files = listen::raise_file_limit().unwrap_or(FILES_UNKNOWN);
    let limits = limits(files, config.pairs_max);
    report_limits(files, &limits);
    let host = config.listen.host.as_deref();
    let listener =
        listen::listen(host, config.listen.port).map_err(|error| cannot_listen(&config, &error))?;
    let address = listener.local_addr().map_err(system)?;
    drop_privileges(config.user.as_deref(), access.as_ref())?;
    let mut kernel = Kernel::new().map_err(system)?;
    let (mut backends, members) = Backends::resolve(lists, kernel.waker(), &config)?;
    if let Some(file) = access {
        kernel.log_access_to(file).map_err(system)?;
    }
    if config.verbose {
        kernel.write_stderr_by_thread().map_err(system)?;
    }
    say(format_args!("{}", start_line(&config, address, &members)));
    if privileges::is_root() {
        say(format_args!(
            "loadbalancer: running as root; --user NAME gives that up once the port is bound"
        ));
    }
    listening(address);
    let seed = listen::seed();
    let settings = ListenerSettings { address, scheme: Scheme::Http, service: config.mode.into() };
    let mut proxy = Proxy::new(kernel, config, members, limits, error_pages, seed);
    proxy.listen(listener, settings).map_err(system)?;
    backends.begin(&mut proxy);
    while proxy.turn().map_err(system)? == Status::Running {
        match proxy.take_reload() {
            Some(Reload::Now) => {
                if let Some(log) = &log {
                    reopen_log(log, &mut proxy);
                }
                backends.reload(log.is_some(), &mut proxy);
            }
            Some(Reload::Logs) => {
                match &log {
                    Some(log) => reopen_log(log, &mut proxy),
                    None => proxy.log_event(format_args!("SIGUSR1: no access log (-l) to reopen")),
                }
                backends.look(&mut proxy);
            }
            Some(Reload::IfChanged) => backends.look(&mut proxy),
            None => {}
        }
        backends.advance(&mut proxy);
    }
    proxy.finish_logs();
    Ok(())
}

/// Becomes the user of `--user`; a log that is a file becomes that user's, to be reopened.
fn drop_privileges(user: Option<&str>, log: Option<&LogFile>) -> Result<(), Failure> {
    let Some(user) = user else { return Ok(()) };
    let identity = Identity::find(user).map_err(|problem| {
        Failure(format!("--user: {problem}; name a user of this machine, such as nobody"))
    })?;
    if identity.is_root() {
        return Err(Failure(String::from("--user root gives nothing up; name another user")));
    }
    let outcome = log.map_or(Ok(()), |log| identity.own(log)).and_then(|()| identity.assume());
    outcome.map_err(|error| {
        let reason = reason(&error);
        Failure(format!(
            "cannot become the user {user}: {reason}; start as root, or without --user"
        ))
    })
}

/// Begins a new log, after the previous one was moved away. On failure that stays in use.
fn reopen_log(log: &LogTarget, proxy: &mut Proxy<Kernel>) {
    let opened = open_log(log).map_err(|failure| failure.to_string());
    let outcome = opened.and_then(|file| {
        let outcome = proxy.net_mut().log_access_to(file);
        outcome.map_err(|error| format!("cannot reopen {}: {}", log_name(log), reason(&error)))
    });
    match outcome {
        Ok(()) => proxy.log_event(format_args!("reopened {}", log_name(log))),
        Err(problem) => proxy.log_event(format_args!("{problem}; still using the previous log")),
    }
}

fn error_pages(config: &Config) -> Result<HashMap<u16, Vec<u8>>, Failure> {
    let mut pages = HashMap::new();
    for (status, file) in &config.error_pages {
        let name = quote(&file.display().to_string());
        let bytes = read_regular(file, PAGE_BYTES_MAX + 1).map_err(|error| {
            Failure(format!("cannot read the error page {name}: {}", reason(&error)))
        })?;
        if bytes.len() as u64 > PAGE_BYTES_MAX {
            let message =
                format!("the error page {name} is larger than {PAGE_BYTES_MAX} bytes; shorten it");
            return Err(Failure(message));
        }
        pages.insert(*status, bytes);
    }
    Ok(pages)
}

fn open_log(log: &LogTarget) -> Result<LogFile, Failure> {
    let file = match log {
        LogTarget::Stdout => LogFile::stdout(),
        LogTarget::File(path) => LogFile::open(path),
    };
    file.map_err(|error| {
        Failure(format!("cannot open {}: {}; choose another file", log_name(log), reason(&error)))
    })
}

fn log_name(log: &LogTarget) -> String {
    match log {
        LogTarget::Stdout => "the access log on standard output".to_owned(),
        LogTarget::File(path) => format!("the access log {}", quote(&path.display().to_string())),
    }
}

fn cannot_listen(config: &Config, error: &io::Error) -> Failure {
    let address = &config.listen;
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
        io::ErrorKind::PermissionDenied => {
            "for a port below 1024 run `setcap cap_net_bind_service=+ep` on the program, set \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "choose another address",
    };
    Failure(format!("cannot listen on {address}: {}: {hint}", reason(error)))
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
    let names: Vec<String> =
        members.iter().map(|member| member.spec.endpoint.to_string()).collect();
    let (strategy, count) = (config.strategy.name(), names.len());
    let plural = if count == 1 { "" } else { "s" };
    let colon = if count == 0 { "" } else { ": " };
    let over = format!("{count} backend{plural}{colon}{}", names.join(" "));
    format!("loadbalancer: listening on {shown}, {verb} by {strategy} over {over}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_port_names_the_ways_to_get_it() {
        let Failure(text) =
            cannot_listen(&Config::default(), &io::ErrorKind::PermissionDenied.into());
        for part in ["cannot listen on 80: permission denied", "setcap", "AmbientCapabilities"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
