//! The backends of the command line and of the list file: read, looked up, and read again when
//! the file changes.

use super::{Failure, say};
use crate::config::list::{FILE_BYTES_MAX, List, Listed};
use crate::config::{BackendSpec, Config, quote};
use crate::net::background::Task;
use crate::net::files::{Stamp, read_at_most};
use crate::net::kernel::Kernel;
use crate::net::listen;
use crate::proxy::{Member, Proxy, Reload};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a list without backends has stood before it is believed: an empty file is what a slow
/// writer leaves behind first, and taking every server away is what is hardest to bear.
const EMPTY_FOR: Duration = Duration::from_secs(1);

/// Where backends come from.
#[derive(Debug)]
pub struct Lists {
    /// The command line's.
    given: Vec<BackendSpec>,
    file: Option<PathBuf>,
    /// The file as it was when the last reading began; none when there was none.
    seen: Option<Stamp>,
    /// It is to be read whatever `seen` says: somebody asked for it (SIGHUP), or it changed under
    /// the last reading. Not a state: it may become true while a reading is under way.
    owed: bool,
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
    /// Those whose names are not known.
    unknown: Vec<BackendSpec>,
    /// What is wrong, one sentence each.
    warnings: Vec<String>,
    /// A line was skipped, or nothing could be read.
    broken: bool,
    /// The file names no backend.
    empty: bool,
    /// The file right after it was read; none when there was none.
    stamp: Option<Stamp>,
}

/// How a name is looked up.
type Resolve<'a> = dyn Fn(&BackendSpec) -> io::Result<Vec<SocketAddr>> + 'a;

/// What follows from a reading.
#[derive(Debug)]
struct Outcome {
    /// What is new to say, one sentence each.
    lines: Vec<String>,
    /// What to go by from here on; none: the backends stay as they are.
    reading: Option<Reading>,
    /// The file changed under the reading, or may be about to: it is worth nothing.
    disturbed: bool,
}

/// What a look at the file leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Nothing,
    /// Perhaps it is still being written: what is there may be empty or half a list.
    Soon,
    Read,
}

impl Lists {
    /// Reads and looks up everything for the start. A name on the command line that is not known
    /// is an error; in the file a bad line is a warning, and the others work.
    pub fn open(config: &Config) -> Result<(Vec<Member>, Lists), Failure> {
        let file = config.list_file.clone();
        let seen = file.as_deref().and_then(Stamp::of);
        let reading = first(&config.backends, file.as_deref(), &addresses)?;
        for warning in &reading.warnings {
            say(format_args!("loadbalancer: {warning}"));
        }
        if reading.members.is_empty() {
            let status = config.all_down_status;
            say(format_args!("loadbalancer: no backend yet: every request is answered {status}"));
        }
        let given = config.backends.clone();
        let (unknown, told) = (!reading.unknown.is_empty(), reading.warnings);
        let lists = Lists { given, file, seen, owed: false, unknown, told, reading: None };
        Ok((reading.members, lists))
    }

    /// Begins to read the file again, if there is a reason to.
    pub fn wish(&mut self, reload: Reload, proxy: &mut Proxy<Kernel>) {
        self.owed |= reload == Reload::Now;
        // Whoever asks during a reading may mean a newer file: see `finish`.
        if self.reading.is_none() {
            self.look(proxy);
        }
    }

    fn look(&mut self, proxy: &mut Proxy<Kernel>) {
        let Some(file) = &self.file else { return };
        let stamp = Stamp::of(file);
        match self.decide(stamp, Stamp::is_settled) {
            Look::Nothing => {}
            Look::Soon => proxy.look_at_list_soon(),
            Look::Read => {
                let (given, file) = (self.given.clone(), file.clone());
                let work = move || again(&given, &file, &addresses);
                match Task::start(proxy.net_mut().waker(), work) {
                    Ok(task) => {
                        (self.seen, self.owed, self.reading) = (stamp, false, Some(task));
                    }
                    Err(error) => {
                        proxy.say(format_args!("cannot read the list file now: {error}"));
                    }
                }
            }
        }
    }

    /// What there is to do about a file that looks like `stamp`.
    fn decide(&self, stamp: Option<Stamp>, is_settled: fn(&Stamp) -> bool) -> Look {
        if !self.owed && !self.unknown && stamp == self.seen {
            return Look::Nothing;
        }
        if stamp.is_none_or(|stamp| is_settled(&stamp)) { Look::Read } else { Look::Soon }
    }

    /// Takes over what was read, if it is there.
    pub fn finish(&mut self, proxy: &mut Proxy<Kernel>) {
        let Some(task) = self.reading.take() else { return };
        let outcome = match task.poll() {
            Ok(reading) => self.judge(reading),
            Err(task) => {
                self.reading = Some(task);
                return;
            }
        };
        for line in &outcome.lines {
            proxy.say(format_args!("{line}"));
        }
        if let Some(reading) = outcome.reading {
            proxy.apply(&reading.members, &reading.unknown);
        }
        if outcome.disturbed {
            // Not at once, as it may go on changing.
            proxy.look_at_list_soon();
        } else if self.owed {
            self.look(proxy);
        }
    }

    /// A file with anything wrong in it changes nothing: half a list could take away the servers
    /// that work. Nor does one that changed while it was read, or a `reading` that is none because
    /// its thread is gone.
    fn judge(&mut self, reading: Option<Reading>) -> Outcome {
        let nothing = |lines| Outcome { lines, reading: None, disturbed: false };
        let Some(reading) = reading else {
            let line = "reading the list file broke off; the backends stay as they are";
            return nothing(vec![line.to_owned()]);
        };
        let is_young = reading.stamp.is_some_and(|stamp| !stamp.is_older_than(EMPTY_FOR));
        if reading.stamp != self.seen || (reading.empty && is_young) {
            self.owed = true;
            return Outcome { disturbed: true, ..nothing(Vec::new()) };
        }
        let mut lines = Vec::new();
        if reading.warnings != self.told {
            lines.clone_from(&reading.warnings);
            if reading.broken {
                lines.push("the backends stay as they are; mend the list file".to_owned());
            }
        }
        self.told.clone_from(&reading.warnings);
        if reading.broken {
            return nothing(lines);
        }
        self.unknown = !reading.unknown.is_empty();
        Outcome { reading: Some(reading), ..nothing(lines) }
    }
}

impl Reading {
    /// Adds the file's backends, each looked up. Those `given` are not taken twice.
    ///
    /// Errors: the file cannot be read, in one sentence.
    fn add(
        &mut self,
        file: &Path,
        given: &[BackendSpec],
        resolve: &Resolve<'_>,
    ) -> Result<(), String> {
        let name = file.display().to_string();
        let bytes = read_at_most(file, FILE_BYTES_MAX as u64 + 1);
        self.stamp = Stamp::of(file);
        let bytes = bytes
            .map_err(|error| format!("cannot read the list file {}: {error}", quote(&name)))?;
        let list = List::parse(&name, &bytes, given);
        self.warnings.extend(list.warnings.iter().map(ToString::to_string));
        self.broken = !list.warnings.is_empty();
        self.empty = list.backends.is_empty();
        for Listed { line, spec } in list.backends {
            match resolve(&spec) {
                Ok(addresses) => self.members.push(Member { spec, addresses }),
                Err(error) => {
                    let backend = &spec.endpoint;
                    let text = format!("{name}:{line}: {backend}: {error}; it is looked up again");
                    self.warnings.push(text);
                    self.unknown.push(spec);
                }
            }
        }
        Ok(())
    }
}

/// What there is to start with: the `given` backends and the file's. A file that cannot be read is
/// a warning.
///
/// Errors: the name of a given backend is not known.
fn first(
    given: &[BackendSpec],
    file: Option<&Path>,
    resolve: &Resolve<'_>,
) -> Result<Reading, Failure> {
    let mut reading = Reading::default();
    for spec in given {
        let addresses = resolve(spec).map_err(|error| {
            Failure(format!("backend {}: {error}; check the name", spec.endpoint))
        })?;
        reading.members.push(Member { spec: spec.clone(), addresses });
    }
    if let Some(Err(problem)) = file.map(|file| reading.add(file, given, resolve)) {
        reading.warnings.push(problem);
    }
    Ok(reading)
}

/// The same later, when a given backend is there already: if its name is not known for now, it
/// stays with the addresses it has.
fn again(given: &[BackendSpec], file: &Path, resolve: &Resolve<'_>) -> Reading {
    let mut reading = Reading::default();
    for spec in given {
        match resolve(spec) {
            Ok(addresses) => reading.members.push(Member { spec: spec.clone(), addresses }),
            Err(error) => {
                let text = format!("backend {}: {error}; it is looked up again", spec.endpoint);
                reading.warnings.push(text);
                reading.unknown.push(spec.clone());
            }
        }
    }
    if let Err(problem) = reading.add(file, given, resolve) {
        reading.warnings.push(problem);
        reading.broken = true;
    }
    reading
}

/// Where a backend may listen, in the order to try; at least one. Without a host it is on this
/// machine.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;
    use std::cell::RefCell;

    const HOUR: Duration = Duration::from_secs(3600);

    fn spec(port: u16) -> BackendSpec {
        BackendSpec::new(Endpoint { host: Some("a".to_owned()), port })
    }

    fn known() -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], 1))]
    }

    fn unknown() -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, "no such name")
    }

    fn lists() -> Lists {
        let (given, told) = (vec![spec(1)], Vec::new());
        Lists { given, file: None, seen: None, owed: false, unknown: false, told, reading: None }
    }

    #[test]
    fn at_the_start_each_name_is_looked_up_once() {
        let asked = RefCell::new(Vec::new());
        let reading = first(&[spec(1), spec(2)], None, &|spec| {
            asked.borrow_mut().push(spec.endpoint.port);
            Ok(known())
        });
        assert_eq!(reading.expect("known names").members.len(), 2);
        assert_eq!(asked.into_inner(), [1, 2]);
    }

    #[test]
    fn a_given_name_that_is_not_known_for_now_stays_and_is_told() {
        let missing = Path::new("/nonexistent/list");
        let reading = again(&[spec(1), spec(2)], missing, &|spec| match spec.endpoint.port {
            1 => Err(unknown()),
            _ => Ok(known()),
        });
        assert_eq!(reading.unknown, [spec(1)]);
        assert_eq!(reading.members.len(), 1);
        assert_eq!(reading.warnings[0], "backend a:1: no such name; it is looked up again");
    }

    #[test]
    fn a_reading_that_broke_off_or_is_broken_changes_nothing_and_is_told() {
        let broken =
            Reading { warnings: vec!["bad".to_owned()], broken: true, ..Reading::default() };
        for reading in [None, Some(broken)] {
            let outcome = lists().judge(reading);
            assert!(outcome.reading.is_none(), "{outcome:?}");
            let last = outcome.lines.last().expect("something to say");
            assert!(last.contains("the backends stay as they are"), "{last}");
        }
    }

    #[test]
    fn a_look_at_the_file_leads_to_a_reading_when_there_is_reason_and_it_is_settled() {
        let (seen, new) = (Some(Stamp::with(9, HOUR)), Some(Stamp::with(9, HOUR / 2)));
        for (name, owed, unknown, stamp, settled, unsettled) in [
            ("as it was", false, false, seen, Look::Nothing, Look::Nothing),
            ("as it was, but asked for", true, false, seen, Look::Read, Look::Soon),
            ("as it was, but a name is not known", false, true, seen, Look::Read, Look::Soon),
            ("changed", false, false, new, Look::Read, Look::Soon),
            ("changed, and asked for", true, false, new, Look::Read, Look::Soon),
            ("gone", false, false, None, Look::Read, Look::Read),
        ] {
            let lists = Lists { seen, owed, unknown, ..lists() };
            assert_eq!(lists.decide(stamp, |_| true), settled, "{name}, settled");
            assert_eq!(lists.decide(stamp, |_| false), unsettled, "{name}, being written");
        }
    }

    #[test]
    fn what_was_read_while_the_file_changed_is_not_taken_over_but_read_again() {
        let seen = Some(Stamp::with(9, HOUR));
        for (name, stamp, disturbed) in [
            ("as it was", seen, false),
            ("of another time", Some(Stamp::with(9, HOUR / 2)), true),
            ("gone", None, true),
        ] {
            let mut lists = Lists { seen, ..lists() };
            let reading = Reading { stamp, broken: true, ..Reading::default() };
            let reading = Reading { warnings: vec!["half a line".to_owned()], ..reading };
            let outcome = lists.judge(Some(reading));
            assert_eq!((outcome.disturbed, lists.owed), (disturbed, disturbed), "{name}");
            assert_eq!(outcome.lines.is_empty(), disturbed, "{name}: {outcome:?}");
            assert!(outcome.reading.is_none(), "{name}: {outcome:?}");
        }
    }

    #[test]
    fn an_empty_list_is_believed_once_it_is_older_than_for_a_while() {
        for (name, empty, age, believed) in [
            ("just emptied", true, EMPTY_FOR / 2, false),
            ("empty for long", true, HOUR, true),
            ("just written", false, EMPTY_FOR / 2, true),
        ] {
            let seen = Some(Stamp::with(0, age));
            let mut lists = Lists { seen, ..lists() };
            let outcome = lists.judge(Some(Reading { stamp: seen, empty, ..Reading::default() }));
            assert_eq!(outcome.reading.is_some(), believed, "{name}");
            assert_eq!((outcome.disturbed, lists.owed), (!believed, !believed), "{name}");
        }
    }

    #[test]
    fn what_is_asked_for_during_a_reading_is_still_owed_when_that_is_over() {
        let seen = Some(Stamp::with(9, HOUR));
        let mut lists = Lists { seen, owed: true, ..lists() };
        let outcome = lists.judge(Some(Reading { stamp: seen, ..Reading::default() }));
        assert!(outcome.reading.is_some(), "{outcome:?}");
        assert_eq!(lists.decide(seen, |_| true), Look::Read);
    }

    #[test]
    fn a_complaint_is_told_once() {
        let mut lists = lists();
        let reading = || Reading {
            warnings: vec!["a is not known".to_owned()],
            unknown: vec![spec(1)],
            ..Reading::default()
        };
        assert_eq!(lists.judge(Some(reading())).lines, ["a is not known"]);
        let outcome = lists.judge(Some(reading()));
        assert!(outcome.lines.is_empty(), "{outcome:?}");
        assert!(lists.unknown, "it is to be looked up again");
    }
}
