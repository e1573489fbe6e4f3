//! The backend list file: when it is read again, and whether what was read is used.

use super::authorities;
use super::watched::Stamped;
use crate::base::reason::reason;
use crate::config::list::{FILE_BYTES_MAX, List, Listed};
use crate::config::{BackendSpec, Mode, quote};
use crate::net::Waker;
use crate::net::background::Task;
use crate::net::files::{Stamp, read_once, read_regular};
use crate::net::tls::Authorities;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Age at which a list without backends takes effect: an empty file is what a slow writer leaves
/// first, and removing every server is the most harmful change.
const EMPTY_AGE: Duration = Duration::from_secs(1);

/// The list file and its version that is in use.
#[derive(Debug)]
pub struct ListFile {
    path: PathBuf,
    /// Which words have an effect.
    mode: Mode,
    /// As it was when the last reading began; none when it did not exist.
    seen: Option<Stamp>,
    /// False for a pipe or device, which is read once.
    is_regular: bool,
    /// To be read whatever `seen` says: by SIGHUP, or because it changed while it was read. May be
    /// set during a reading.
    is_requested: bool,
    /// Warnings of the last reading, so that each is reported once.
    reported: Vec<String>,
    reading: Option<Task<Reading>>,
    /// The files of authorities that the last reading has named, as they were before it.
    authority_files: Stamped,
}

/// What a look at the file leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Unchanged,
    /// It may still be being written, so that half a list would be read: look again soon.
    Unsettled,
    /// It is being read.
    Reading,
}

/// One reading of the file.
#[derive(Debug, Default)]
pub struct Reading {
    pub backends: Vec<Listed>,
    /// One sentence per bad line, or why nothing could be read.
    warnings: Vec<String>,
    /// A line was skipped, or nothing could be read.
    is_broken: bool,
    /// The file right after it was read; none when it did not exist.
    stamp: Option<Stamp>,
    /// Whom all backends are verified by, unless something is broken.
    authorities: Option<Authorities>,
    /// The files of authorities, as they were before they were read.
    authority_files: Stamped,
}

/// What follows from a reading.
#[derive(Debug)]
pub enum Verdict {
    /// It changed while it was read, or may be about to: look again soon.
    Unstable,
    /// The previous list stays in use. The lines are to be reported, if any are new.
    Rejected(Vec<String>),
    /// These backends are in use from here on, verified by these authorities.
    Accepted(Vec<Listed>, Option<Authorities>),
}

impl ListFile {
    /// Reads the list for the start; bad lines are warnings, which the second value has. `given`
    /// are the backends of the command line, which are not taken twice.
    ///
    /// Errors: it cannot be read, in one sentence.
    pub fn open(
        path: &Path,
        given: &[BackendSpec],
        mode: Mode,
    ) -> Result<(ListFile, Vec<Listed>, Vec<String>), String> {
        let seen = Stamp::of(path);
        let content = read_once(path, LIST_BYTES_MAX).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => {
                    "check the name, or create it empty to add servers later"
                }
                _ => NAME_ONE,
            };
            format!("{}; {hint}", unreadable(path, &error))
        })?;
        if content.is_device {
            let name = quote(&path.display().to_string());
            return Err(format!("the list file {name} is a device; {NAME_ONE}"));
        }
        let reading = Reading::of(path, &content.bytes, given, mode);
        let file = ListFile {
            path: path.to_owned(),
            mode,
            seen,
            is_regular: content.is_regular,
            is_requested: false,
            reported: reading.warnings.clone(),
            reading: None,
            authority_files: authorities::stamps(
                given.iter().chain(reading.backends.iter().map(|it| &it.spec)),
            ),
        };
        Ok((file, reading.backends, reading.warnings))
    }

    /// As named on the command line.
    pub fn name(&self) -> String {
        quote(&self.path.display().to_string())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be read again.
    pub fn is_regular(&self) -> bool {
        self.is_regular
    }

    /// Has it read with the next look, and its warnings reported again. If a reading is under way,
    /// it is read once more after that, as the request may be about a newer version.
    pub fn request(&mut self) {
        self.is_requested = true;
        self.reported.clear();
    }

    /// Starts a reading if the file has changed or a reading was requested.
    ///
    /// Errors: the system has no thread left.
    pub fn look(&mut self, given: &[BackendSpec], waker: Waker) -> io::Result<Look> {
        if self.reading.is_some() || !self.is_regular {
            return Ok(Look::Unchanged);
        }
        let stamp = Stamp::of(&self.path);
        let look = self.decide(stamp, &self.look_at_authorities(), Stamp::is_settled);
        if look == Look::Reading {
            let (given, path, mode) = (given.to_vec(), self.path.clone(), self.mode);
            self.reading = Some(Task::start(waker, move || Reading::again(&path, &given, mode))?);
            (self.seen, self.is_requested) = (stamp, false);
        }
        Ok(look)
    }

    /// The files of authorities that have changed since they were read, as they are now.
    fn look_at_authorities(&self) -> Vec<Option<Stamp>> {
        let now = self.authority_files.iter().map(|(path, seen)| (seen, Stamp::of(path)));
        now.filter(|(seen, now)| *seen != now).map(|(_, now)| now).collect()
    }

    /// What there is to do about a file with this stamp, and files of authorities that have changed.
    fn decide(
        &self,
        stamp: Option<Stamp>,
        changed: &[Option<Stamp>],
        is_settled: fn(&Stamp) -> bool,
    ) -> Look {
        let is_same = stamp == self.seen && changed.is_empty();
        let mut stamps = stamp.iter().chain(changed.iter().flatten());
        match stamps.all(is_settled) {
            _ if !self.is_requested && is_same => Look::Unchanged,
            false => Look::Unsettled,
            true => Look::Reading,
        }
    }

    /// What follows from the reading that is done, if one is.
    pub fn finish(&mut self) -> Option<Verdict> {
        match self.reading.take()?.poll() {
            Ok(reading) => Some(self.judge(reading)),
            Err(task) => {
                self.reading = Some(task);
                None
            }
        }
    }

    /// Whether a reading was requested while the last one was under way.
    pub fn is_requested(&self) -> bool {
        self.is_requested
    }

    /// A file with a bad line changes nothing: half a list could remove servers that work. Neither
    /// does one that changed while it was read. No reading: its thread has panicked.
    fn judge(&mut self, reading: Option<Reading>) -> Verdict {
        let Some(reading) = reading else {
            let line = "reading the list file was interrupted; still using the previous list";
            return Verdict::Rejected(vec![line.to_owned()]);
        };
        self.authority_files = reading.authority_files;
        let is_young = reading.stamp.is_some_and(|stamp| !stamp.is_older_than(EMPTY_AGE));
        let is_empty = !reading.is_broken && reading.backends.is_empty();
        if reading.stamp != self.seen || (is_empty && is_young) {
            self.is_requested = true;
            return Verdict::Unstable;
        }
        let is_new = reading.warnings != self.reported;
        self.reported.clone_from(&reading.warnings);
        if !reading.is_broken {
            return Verdict::Accepted(reading.backends, reading.authorities);
        }
        let mut lines = reading.warnings;
        if is_new {
            lines.push("list not loaded, still using the previous one; fix the file".to_owned());
        } else {
            lines.clear();
        }
        Verdict::Rejected(lines)
    }
}

/// What to do about a list that cannot be read.
const NAME_ONE: &str = "name a file with one HOST:PORT per line";

/// One byte more than is allowed, so that a longer file is noticed.
const LIST_BYTES_MAX: u64 = FILE_BYTES_MAX as u64 + 1;

impl Reading {
    fn of(path: &Path, bytes: &[u8], given: &[BackendSpec], mode: Mode) -> Reading {
        let list = List::parse(&path.display().to_string(), bytes, given, mode);
        let warnings: Vec<String> = list.warnings.iter().map(ToString::to_string).collect();
        let is_broken = !warnings.is_empty();
        Reading { backends: list.backends, warnings, is_broken, ..Reading::default() }
    }

    /// Reads whom the backends are verified by. What cannot be used is one more bad line.
    fn read_authorities(&mut self, path: &Path, given: &[BackendSpec], mode: Mode) {
        let all = given.iter().chain(self.backends.iter().map(|it| &it.spec));
        self.authority_files = authorities::stamps(all);
        let mut authorities = match authorities::of_given(given, mode) {
            Ok(authorities) => authorities,
            Err(failure) => {
                self.warnings.push(failure.to_string());
                self.is_broken = true;
                return;
            }
        };
        for Listed { line, spec } in &self.backends {
            if let Err(problem) = authorities::add(&mut authorities, spec) {
                self.warnings.push(format!("{}:{line}: {problem}", path.display()));
                self.is_broken = true;
            }
        }
        let mut all = given.iter().chain(self.backends.iter().map(|it| &it.spec));
        let is_needed = all.any(|spec| spec.tls.is_some());
        self.authorities = is_needed.then_some(authorities);
    }

    /// Reads the file once more. By now it may be something else, which is not waited for.
    fn again(path: &Path, given: &[BackendSpec], mode: Mode) -> Reading {
        let bytes = read_regular(path, LIST_BYTES_MAX);
        let stamp = Stamp::of(path);
        let reading = match bytes {
            Ok(bytes) => {
                let mut reading = Reading::of(path, &bytes, given, mode);
                reading.read_authorities(path, given, mode);
                reading
            }
            Err(error) => Reading {
                warnings: vec![unreadable(path, &error)],
                is_broken: true,
                ..Reading::default()
            },
        };
        Reading { stamp, ..reading }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let name = quote(&path.display().to_string());
    format!("cannot read the list file {name}: {}", reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    const HOUR: Duration = Duration::from_secs(3600);

    fn list_file() -> ListFile {
        ListFile {
            path: PathBuf::from("list"),
            mode: Mode::Http,
            seen: None,
            is_regular: true,
            is_requested: false,
            reported: Vec::new(),
            reading: None,
            authority_files: Vec::new(),
        }
    }

    fn reading(stamp: Option<Stamp>, warnings: &[&str], count: u16) -> Reading {
        let endpoint = |port| HostPort::on("a", port);
        let listed = |port| Listed { line: 1, spec: BackendSpec::new(endpoint(port)) };
        Reading {
            backends: (1..=count).map(listed).collect(),
            warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
            is_broken: !warnings.is_empty(),
            stamp,
            ..Reading::default()
        }
    }

    #[test]
    fn a_file_is_read_when_it_has_changed_or_that_was_requested_and_it_is_settled() {
        let (seen, new) = (Some(Stamp::with(9, HOUR)), Some(Stamp::with(9, HOUR / 2)));
        for (name, is_requested, stamp, settled, unsettled) in [
            ("as it was", false, seen, Look::Unchanged, Look::Unchanged),
            ("as it was, requested", true, seen, Look::Reading, Look::Unsettled),
            ("changed", false, new, Look::Reading, Look::Unsettled),
            ("changed, requested", true, new, Look::Reading, Look::Unsettled),
            ("gone", false, None, Look::Reading, Look::Reading),
        ] {
            let file = ListFile { seen, is_requested, ..list_file() };
            assert_eq!(file.decide(stamp, &[], |_| true), settled, "{name}, settled");
            assert_eq!(file.decide(stamp, &[], |_| false), unsettled, "{name}, being written");
        }
    }

    #[test]
    fn what_was_read_while_the_file_changed_is_not_used_but_read_again() {
        let seen = Some(Stamp::with(9, HOUR));
        for (name, stamp, is_stable) in [
            ("as it was", seen, true),
            ("another version", Some(Stamp::with(9, HOUR / 2)), false),
            ("gone", None, false),
        ] {
            let mut file = ListFile { seen, ..list_file() };
            match file.judge(Some(reading(stamp, &["half a line"], 0))) {
                Verdict::Unstable => assert!(!is_stable && file.is_requested, "{name}"),
                Verdict::Rejected(lines) => assert!(is_stable && lines.len() == 2, "{name}"),
                Verdict::Accepted(..) => panic!("{name}: half a list is used"),
            }
        }
    }

    #[test]
    fn a_list_that_was_not_read_or_has_a_bad_line_changes_nothing_and_is_reported() {
        for reading in [None, Some(reading(None, &["bad"], 1))] {
            let Verdict::Rejected(lines) = list_file().judge(reading) else { panic!("used") };
            let last = lines.last().expect("a line");
            assert!(last.contains("still using the previous"), "{last}");
        }
    }

    #[test]
    fn an_empty_list_takes_effect_once_it_is_old_enough() {
        for (name, count, age, is_used) in [
            ("just emptied", 0, EMPTY_AGE / 2, false),
            ("empty for long", 0, HOUR, true),
            ("just written", 1, EMPTY_AGE / 2, true),
        ] {
            let seen = Some(Stamp::with(0, age));
            let mut file = ListFile { seen, ..list_file() };
            let verdict = file.judge(Some(reading(seen, &[], count)));
            assert_eq!(matches!(verdict, Verdict::Accepted(..)), is_used, "{name}: {verdict:?}");
            assert_eq!(matches!(verdict, Verdict::Unstable), !is_used, "{name}: {verdict:?}");
            assert_eq!(file.is_requested, !is_used, "{name}");
        }
    }

    #[test]
    fn a_request_during_a_reading_leads_to_another_one() {
        let seen = Some(Stamp::with(9, HOUR));
        let mut file = ListFile { seen, ..list_file() };
        file.request();
        assert!(matches!(file.judge(Some(reading(seen, &[], 1))), Verdict::Accepted(..)));
        assert_eq!(file.decide(seen, &[], |_| true), Look::Reading);
    }

    #[test]
    fn a_warning_is_reported_once_and_again_on_request() {
        let mut file = list_file();
        for (name, is_requested, expected) in
            [("first", false, 2), ("again", false, 0), ("requested", true, 2)]
        {
            if is_requested {
                file.request();
            }
            let verdict = file.judge(Some(reading(None, &["bad"], 1)));
            let Verdict::Rejected(lines) = verdict else { panic!("{name}: {verdict:?}") };
            assert_eq!(lines.len(), expected, "{name}: {lines:?}");
        }
    }
}
