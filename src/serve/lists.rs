//! The backends of the command line and of the list file: read, looked up, and read again when
//! the file changes.

use super::{Failure, say};
use crate::config::list::{FILE_BYTES_MAX, List};
use crate::config::{BackendSpec, Config, quote};
use crate::net::background::Task;
use crate::net::files::{Stamp, read_at_most};
use crate::net::kernel::Kernel;
use crate::net::listen;
use crate::proxy::{Member, Proxy, Reload};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where backends come from.
#[derive(Debug)]
pub struct Lists {
    /// The command line's.
    given: Vec<BackendSpec>,
    file: Option<PathBuf>,
    /// The file as it was when it was read last; none when it could not be.
    seen: Option<Stamp>,
    /// A name was not known: looked up again with the next look at the file.
    unknown: bool,
    /// What was last complained about, so that it is not said every time.
    told: Vec<String>,
    reading: Option<Task<Reading>>,
}

/// What reading and looking up brought.
#[derive(Debug, Default)]
struct Reading {
    members: Vec<Member>,
    /// What is wrong, one sentence each.
    warnings: Vec<String>,
    /// A line was skipped, or nothing could be read.
    broken: bool,
    /// A name was not known.
    unknown: bool,
}

impl Lists {
    /// Reads and looks up everything for the start. A name on the command line that is not known
    /// is an error; in the file a bad line is a warning, and the others work.
    pub fn open(config: &Config) -> Result<(Vec<Member>, Lists), Failure> {
        for spec in &config.backends {
            if let Err(error) = addresses(spec) {
                let text = format!("backend {}: {error}; check the name", spec.endpoint);
                return Err(Failure(text));
            }
        }
        let file = config.list_file.clone();
        let seen = file.as_deref().and_then(Stamp::of);
        let mut reading = match read(&config.backends, file.as_deref()) {
            Ok(reading) => reading,
            Err(problem) => {
                say(format_args!("loadbalancer: {problem}"));
                look_up(&config.backends)
            }
        };
        for warning in &reading.warnings {
            say(format_args!("loadbalancer: {warning}"));
        }
        reading.members.retain(|member| !member.addresses.is_empty());
        if reading.members.is_empty() {
            let status = config.all_down_status;
            say(format_args!("loadbalancer: no backend yet: every request is answered {status}"));
        }
        let given = config.backends.clone();
        let (unknown, told) = (reading.unknown, reading.warnings);
        let lists = Lists { given, file, seen, unknown, told, reading: None };
        Ok((reading.members, lists))
    }

    /// Begins to read the file again, if there is a reason to.
    pub fn wish(&mut self, reload: Reload, proxy: &mut Proxy<Kernel>) {
        let Some(file) = &self.file else { return };
        let stamp = Stamp::of(file);
        let changed = stamp != self.seen && stamp.is_none_or(|stamp| stamp.is_settled());
        let due = reload == Reload::Now || changed || self.unknown;
        if !due || self.reading.is_some() {
            return;
        }
        self.seen = stamp;
        let (given, file) = (self.given.clone(), file.clone());
        let work = move || match read(&given, Some(&file)) {
            Ok(reading) => reading,
            Err(problem) => Reading { warnings: vec![problem], broken: true, ..Reading::default() },
        };
        match proxy.net_mut().waker().and_then(|waker| Task::start(waker, work)) {
            Ok(task) => self.reading = Some(task),
            Err(error) => proxy.say(format_args!("cannot read the list file now: {error}")),
        }
    }

    /// Takes over what was read, if it is there. A file with anything wrong in it changes nothing:
    /// half a list could take away the servers that work.
    pub fn finish(&mut self, proxy: &mut Proxy<Kernel>) {
        let Some(task) = self.reading.take() else { return };
        let reading = match task.poll() {
            Ok(reading) => reading.unwrap_or_default(),
            Err(task) => {
                self.reading = Some(task);
                return;
            }
        };
        if reading.warnings != self.told {
            for warning in &reading.warnings {
                proxy.say(format_args!("{warning}"));
            }
            if reading.broken {
                proxy.say(format_args!("the backends stay as they are; mend the list file"));
            }
        }
        self.told = reading.warnings;
        if !reading.broken {
            self.unknown = reading.unknown;
            proxy.apply(&reading.members);
        }
    }
}

/// The file's backends behind the given ones, each looked up.
///
/// Errors: the file cannot be read, in one sentence.
fn read(given: &[BackendSpec], file: Option<&Path>) -> Result<Reading, String> {
    let mut reading = look_up(given);
    let Some(file) = file else { return Ok(reading) };
    let name = file.display().to_string();
    let bytes = read_at_most(file, FILE_BYTES_MAX as u64 + 1)
        .map_err(|error| format!("cannot read the list file {}: {error}", quote(&name)))?;
    let list = List::parse(&name, &bytes, given);
    reading.warnings.extend(list.warnings.iter().map(ToString::to_string));
    reading.broken = !list.warnings.is_empty();
    for listed in list.backends {
        let addresses = addresses(&listed.spec).unwrap_or_else(|error| {
            let (line, backend) = (listed.line, &listed.spec.endpoint);
            let text = format!("{name}:{line}: {backend}: {error}; it is looked up again");
            reading.warnings.push(text);
            reading.unknown = true;
            Vec::new()
        });
        reading.members.push(Member { spec: listed.spec, addresses });
    }
    Ok(reading)
}

fn look_up(given: &[BackendSpec]) -> Reading {
    let member = |spec: &BackendSpec| Member {
        addresses: addresses(spec).unwrap_or_default(),
        spec: spec.clone(),
    };
    Reading { members: given.iter().map(member).collect(), ..Reading::default() }
}

/// Where a backend may listen, in the order to try. Without a host it is on this machine.
fn addresses(spec: &BackendSpec) -> io::Result<Vec<SocketAddr>> {
    let port = spec.endpoint.port;
    let Some(host) = &spec.endpoint.host else {
        let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(local.map(|ip| SocketAddr::from((ip, port))).to_vec());
    };
    let addresses = listen::resolve(host, port)?;
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}
