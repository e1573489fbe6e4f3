//! Files that are read again, by a thread, when one has changed or SIGHUP asks for it. What cannot be
//! used changes nothing and is reported once. What is in them is their owner's.

use crate::base::reason::reason;
use crate::net::background::Task;
use crate::net::files::Stamp;
use crate::net::kernel::Kernel;
use crate::proxy::Proxy;
use std::path::PathBuf;

/// What a reload has come to: what changed, or why nothing did.
pub type Outcome = Result<String, String>;

/// Files, each as it is or was at some time.
pub type Stamped = Vec<(PathBuf, Option<Stamp>)>;

/// These files as they are now.
pub fn stamped(paths: impl IntoIterator<Item = PathBuf>) -> Stamped {
    let stamp = |path: PathBuf| (Stamp::of(&path), path);
    paths.into_iter().map(stamp).map(|(stamp, path)| (path, stamp)).collect()
}

/// A reading of all files.
#[derive(Debug)]
struct Reading<T> {
    outcome: Result<T, String>,
    /// As they were right after it.
    files: Stamped,
}

/// Files that are in use.
#[derive(Debug)]
pub struct Watched<T> {
    /// What they are, in messages.
    name: &'static str,
    /// As they were when they were read last.
    files: Stamped,
    /// To be read whatever `files` says.
    is_requested: bool,
    reading: Option<Task<Reading<T>>>,
    /// SIGHUP came, and no reading since has ended.
    is_asked: bool,
    /// What came of the last reload, for the one who asked for it.
    outcome: Outcome,
    /// Why the last reading was not used, so that it is reported once.
    reported: Option<String>,
}

impl<T: Send + 'static> Watched<T> {
    /// Files that were read, as they were right before it.
    pub fn new(name: &'static str, files: Stamped) -> Watched<T> {
        Watched {
            name,
            files,
            is_requested: false,
            reading: None,
            is_asked: false,
            outcome: Ok(String::new()),
            reported: None,
        }
    }

    /// SIGHUP: the next look has them read, and the outcome is reported.
    pub fn request(&mut self) {
        (self.is_requested, self.is_asked, self.reported) = (true, true, None);
    }

    /// SIGHUP was not carried out yet.
    pub fn is_reloading(&self) -> bool {
        self.is_asked
    }

    /// What the last reload has come to.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Has them read by `read` if one has changed.
    pub fn look(
        &mut self,
        proxy: &mut Proxy<Kernel>,
        read: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) {
        if self.reading.is_some() {
            return;
        }
        let files = self.now();
        if !self.is_requested && files == self.files {
            return;
        }
        if files.iter().filter_map(|(_, stamp)| *stamp).any(|stamp| !stamp.is_settled()) {
            // One may still be being written.
            return proxy.look_at_list_soon();
        }
        let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
        let read = move || Reading { outcome: read(), files: stamped(paths) };
        match Task::start(proxy.net_mut().waker(), read) {
            Ok(task) => {
                (self.reading, self.files, self.is_requested) = (Some(task), files, false);
            }
            Err(error) => {
                let line = format!("cannot read the {} now: {}", self.name, reason(&error));
                proxy.log_event(format_args!("{line}"));
                (self.is_asked, self.outcome) = (false, Err(line));
            }
        }
    }

    fn now(&self) -> Stamped {
        stamped(self.files.iter().map(|(path, _)| path.clone()))
    }

    /// Puts to use by `apply` what was read since the last turn; it returns what has come of it, in
    /// words, or why it cannot be used. True: SIGHUP came once more meanwhile, and a look answers.
    #[must_use]
    #[inline]
    pub fn advance(
        &mut self,
        proxy: &mut Proxy<Kernel>,
        apply: impl FnOnce(T, &mut Proxy<Kernel>) -> Outcome,
    ) -> bool {
        // Asked after every turn.
        self.reading.is_some() && self.finish(proxy, apply)
    }

    #[cold]
    #[inline(never)]
    fn finish(
        &mut self,
        proxy: &mut Proxy<Kernel>,
        apply: impl FnOnce(T, &mut Proxy<Kernel>) -> Outcome,
    ) -> bool {
        let Some(task) = self.reading.take() else { return false };
        let reading = match task.poll() {
            Ok(reading) => reading,
            Err(task) => {
                self.reading = Some(task);
                return false;
            }
        };
        match reading {
            Some(reading) if reading.files != self.files => {
                // One has changed meanwhile.
                self.is_requested = true;
                proxy.look_at_list_soon();
            }
            Some(reading) => {
                let outcome = reading.outcome.and_then(|read| apply(read, proxy));
                self.conclude(outcome, proxy);
            }
            None => self.conclude(Err(format!("reading the {} was interrupted", self.name)), proxy),
        }
        self.is_asked && self.is_requested
    }

    fn conclude(&mut self, outcome: Outcome, proxy: &mut Proxy<Kernel>) {
        self.is_asked &= self.is_requested;
        self.outcome = match outcome {
            Ok(line) => {
                self.reported = None;
                proxy.log_event(format_args!("{line}"));
                Ok(line)
            }
            Err(why) => {
                let line = format!("{why}; still using the previous {}", self.name);
                if self.reported.as_ref() != Some(&why) {
                    proxy.log_event(format_args!("{line}"));
                    self.reported = Some(why);
                }
                Err(line)
            }
        };
    }
}
