//! From a configuration to a running balancer: names looked up, files read, limits set, the port
//! opened, the loop turned. Every failure is one sentence with the culprit and the mend.

mod lists;

use crate::config::{Config, LogTarget, Mode, quote};
use crate::net::files::read_at_most;
use crate::net::kernel::Kernel;
use crate::net::listen;
use crate::proxy::{Limits, Member, Proxy, Reload, Status};
use lists::Lists;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// Most descriptors kept for what is neither client nor upstream; mostly they are for probes.
const RESERVED_MAX: u64 = 64;

/// So many are kept however few there are: the standard streams, the listener, the log, the poll,
/// its waker and the pipes of the signals are 12, open all the time; 8 more are for who waits at
/// a pending accept, a new log, the list file, the sockets of name lookups, and a few probes.
const RESERVED_MIN: u64 = 20;

/// The open-file limit where the system does not tell it.
const FILES_UNKNOWN: u64 = 1024;

/// With fewer places for clients than this, it is told at the start.
const PLACES_FEW: usize = 32;

/// Most pipes for large bodies: at 512 KiB each, the 16 MiB that the kernel lends a user lightly.
const PIPES_MAX: u64 = 32;

/// Largest page for `--error-page`, in bytes: with its head it must fit into one buffer.
const PAGE_BYTES_MAX: u64 = 8 * 1024;

const _: () = assert!(PAGE_BYTES_MAX as usize + 2048 <= crate::base::buffer::LARGE_BYTES);

/// Why the program could not start or go on: one sentence for standard error.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Balances until a signal ends it. `listening` is told the address once clients can connect.
///
/// Errors: what the system refused, before the first client or while running.
pub fn run(config: Config, listening: impl FnOnce(SocketAddr)) -> Result<(), Failure> {
    let (members, mut lists) = Lists::open(&config)?;
    let error_pages = error_pages(&config)?;
    let log = config.access_log.clone();
    let access = access_log(&log)?;
    let files = listen::raise_file_limit().unwrap_or(FILES_UNKNOWN);
    let limits = limits(files, config.pairs_max);
    tell_limits(files, &limits);
    let host = config.listen.host.as_deref();
    let mut listener =
        listen::listen(host, config.listen.port).map_err(|error| cannot_listen(&config, &error))?;
    let system =
        |error: io::Error| Failure(format!("the system refused what the loop needs: {error}"));
    let address = listener.local_addr().map_err(system)?;
    let mut kernel = Kernel::new().map_err(system)?;
    if let Some(file) = access {
        kernel.log_access_to(file).map_err(system)?;
    }
    if config.verbose {
        kernel.write_stderr_by_thread().map_err(system)?;
    }
    kernel.listen(&mut listener).map_err(system)?;
    say(format_args!("{}", start_line(&config, address, &members)));
    listening(address);
    let seed = listen::seed();
    let mut proxy = Proxy::new(kernel, listener, config, members, limits, error_pages, seed);
    while proxy.turn().map_err(system)? == Status::Running {
        if let Some(reload) = proxy.take_reload() {
            if reload == Reload::Now {
                reopen_log(&log, &mut proxy);
            }
            lists.wish(reload, &mut proxy);
        }
        lists.finish(&mut proxy);
    }
    proxy.finish_logs();
    Ok(())
}

/// After the old log was moved away, a new one is begun.
fn reopen_log(log: &Option<LogTarget>, proxy: &mut Proxy<Kernel>) {
    let problem = match access_log(log) {
        Ok(None) => None,
        Ok(Some(file)) => proxy.net_mut().log_access_to(file).err().map(|error| error.to_string()),
        Err(failure) => Some(failure.to_string()),
    };
    if let Some(problem) = problem {
        proxy.say(format_args!("{problem}; the old log goes on"));
    }
}

fn error_pages(config: &Config) -> Result<HashMap<u16, Vec<u8>>, Failure> {
    let mut pages = HashMap::new();
    for (status, file) in &config.error_pages {
        let name = quote(&file.display().to_string());
        let bytes = read_at_most(file, PAGE_BYTES_MAX + 1)
            .map_err(|error| Failure(format!("cannot read the error page {name}: {error}")))?;
        if bytes.len() as u64 > PAGE_BYTES_MAX {
            let message =
                format!("the error page {name} is larger than {PAGE_BYTES_MAX} bytes; shorten it");
            return Err(Failure(message));
        }
        pages.insert(*status, bytes);
    }
    Ok(pages)
}

fn access_log(target: &Option<LogTarget>) -> Result<Option<File>, Failure> {
    match target {
        None => Ok(None),
        Some(LogTarget::Stdout) => {
            let copy = io::stdout().as_fd().try_clone_to_owned();
            let copy = copy.map_err(|error| Failure(format!("standard output: {error}")))?;
            Ok(Some(File::from(copy)))
        }
        Some(LogTarget::File(path)) => {
            let file = File::options().append(true).create(true).open(path).map_err(|error| {
                let name = quote(&path.display().to_string());
                Failure(format!("cannot open the log {name}: {error}; choose another file"))
            })?;
            Ok(Some(file))
        }
    }
}

/// What an open-file limit of `files` carries: each pair in flight has two descriptors. Of few a
/// quarter is kept for the rest, so that the program is not there for itself alone.
fn limits(files: u64, pairs_wanted: Option<u32>) -> Limits {
    let pipes_max = (files / 32).min(PIPES_MAX);
    let reserved = (files / 4).clamp(RESERVED_MIN, RESERVED_MAX);
    let free = files.saturating_sub(reserved + 2 * pipes_max);
    let places = (free / 2).clamp(1, 1_000_000) as usize;
    let pairs_max = pairs_wanted.map_or(places, |pairs| pairs as usize);
    let clients_max = 2 * places - pairs_max.min(places);
    Limits { pairs_max, clients_max, pipes_max: pipes_max as usize }
}

/// Tells where the open-file limit is less than is wanted, or than many clients need.
fn tell_limits(files: u64, limits: &Limits) {
    let Limits { pairs_max, clients_max, .. } = *limits;
    if pairs_max > clients_max {
        say(format_args!(
            "loadbalancer: -N {pairs_max} needs more open files than the limit of {files} carries; \
             raise it (ulimit -n) or lower -N below {}",
            clients_max + 1
        ));
    } else if clients_max < PLACES_FEW {
        say(format_args!(
            "loadbalancer: the limit of {files} open files has room for few clients at a time: \
             {clients_max}; raise it (ulimit -n)"
        ));
    }
}

fn cannot_listen(config: &Config, error: &io::Error) -> Failure {
    let address = &config.listen;
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root; choose a higher port",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "choose another address",
    };
    Failure(format!("cannot listen on {address}: {error}: {mend}"))
}

/// One line on standard error. Not `eprintln`, which panics when nobody is left to read it.
fn say(line: fmt::Arguments<'_>) {
    // One write, so that a reader never finds half a line.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The one line that says where, how and over what.
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
    fn the_open_file_limit_is_shared_by_pairs_clients_pipes_and_the_rest() {
        for (files, pairs_wanted, pairs_max, clients_max, pipes_max) in [
            (10, None, 1, 1, 0),
            (32, None, 5, 5, 1),
            (64, None, 20, 20, 2),
            (80, None, 28, 28, 2),
            (256, None, 88, 88, 8),
            (1024, None, 448, 448, 32),
            (1024, Some(10), 10, 886, 32),
            (1024, Some(448), 448, 448, 32),
            (1024, Some(1000), 1000, 448, 32),
            (u64::MAX, None, 1_000_000, 1_000_000, 32),
        ] {
            let Limits { pairs_max: pairs, clients_max: clients, pipes_max: pipes } =
                limits(files, pairs_wanted);
            let expected = (pairs_max, clients_max, pipes_max);
            assert_eq!((pairs, clients, pipes), expected, "{files} files, -N {pairs_wanted:?}");
        }
    }

    #[test]
    fn what_is_kept_for_the_rest_is_enough_and_no_more() {
        for files in RESERVED_MIN + 2..10_000 {
            let Limits { pairs_max, clients_max, pipes_max } = limits(files, None);
            let rest = files - (pairs_max + clients_max + 2 * pipes_max) as u64;
            // An odd one is nobody's.
            let enough = RESERVED_MIN..=RESERVED_MAX + 1;
            assert!(enough.contains(&rest), "{rest} of {files}");
        }
    }
}
