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
    let stamp = |path: PathBuf| {
        let stamp = Stamp::of(&path);
        (path, stamp)
    };
    paths.into_iter().map(stamp).collect()
}

/// What is read from files.
pub trait Source {
    /// What they are, in messages.
    const NAME: &'static str;
    /// What a reading brings.
    type Content: Send + 'static;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool;

    /// Reads all files, on a thread of its own.
    ///
    /// Errors: one cannot be used, in one sentence.
    fn reader(&self) -> impl FnOnce() -> Result<Self::Content, String> + Send + 'static;

    /// Puts to use what was read; what has come of it, in words, or why it cannot be used.
    fn apply(content: Self::Content, proxy: &mut Proxy<Kernel>) -> Outcome;
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
pub struct Watched<S: Source> {
    source: S,
    /// As they were when they were read last.
    files: Stamped,
    /// To be read whatever `files` says.
    is_requested: bool,
    reading: Option<Task<Reading<S::Content>>>,
    /// SIGHUP came, and no reading since has ended.
    is_asked: bool,
    /// What came of the last reload, for the one who asked for it.
    outcome: Outcome,
    /// Why the last reading was not used, so that it is reported once.
    reported: Option<String>,
}

impl<S: Source> Watched<S> {
    /// Files that were read, as they were right before it.
    pub fn new(source: S, files: Stamped) -> Watched<S> {
        Watched {
            source,
            files,
            is_requested: false,
            reading: None,
            is_asked: false,
            outcome: Ok(String::new()),
            reported: None,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// SIGHUP: they are read, and the outcome is reported.
    pub fn reload(&mut self, proxy: &mut Proxy<Kernel>) {
        if !self.is_empty() {
            (self.is_requested, self.is_asked, self.reported) = (true, true, None);
            self.look(proxy);
        }
    }

    /// SIGHUP was not carried out yet.
    pub fn is_reloading(&self) -> bool {
        self.is_asked
    }

    /// What the last reload has come to; none without files.
    pub fn outcome(&self) -> Option<&Outcome> {
        (!self.is_empty()).then_some(&self.outcome)
    }

    /// Has them read if one has changed.
    pub fn look(&mut self, proxy: &mut Proxy<Kernel>) {
        if self.is_empty() || self.reading.is_some() {
            return;
        }
        let files = stamped(self.paths());
        if !self.is_requested && files == self.files {
            return;
        }
        if files.iter().filter_map(|(_, stamp)| *stamp).any(|stamp| !stamp.is_settled()) {
            // One may still be being written.
            return proxy.look_at_list_soon();
        }
        let (reader, paths) = (self.source.reader(), self.paths());
        let read = move || Reading { outcome: reader(), files: stamped(paths) };
        match Task::start(proxy.net_mut().waker(), read) {
            Ok(task) => {
                (self.reading, self.files, self.is_requested) = (Some(task), files, false);
            }
            Err(error) => {
                let line = format!("cannot read the {} now: {}", S::NAME, reason(&error));
                proxy.log_event(format_args!("{line}"));
                (self.is_asked, self.outcome) = (false, Err(line));
            }
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|(path, _)| path.clone()).collect()
    }

    /// Puts to use what was read since the last turn.
    #[inline]
    pub fn advance(&mut self, proxy: &mut Proxy<Kernel>) {
        // Asked after every turn.
        if self.reading.is_some() {
            self.finish(proxy);
        }
    }

    #[cold]
    #[inline(never)]
    fn finish(&mut self, proxy: &mut Proxy<Kernel>) {
        let Some(task) = self.reading.take() else { return };
        let reading = match task.poll() {
            Ok(reading) => reading,
            Err(task) => {
                self.reading = Some(task);
                return;
            }
        };
        match reading {
            Some(reading) if reading.files != self.files => {
                // One has changed meanwhile.
                self.is_requested = true;
                proxy.look_at_list_soon();
            }
            Some(reading) => {
                let outcome = reading.outcome.and_then(|content| S::apply(content, proxy));
                self.conclude(outcome, proxy);
            }
            None => self.conclude(Err(format!("reading the {} was interrupted", S::NAME)), proxy),
        }
        if self.is_asked && self.is_requested {
            // It was asked for again meanwhile: the next reading answers.
            self.look(proxy);
        }
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
                let line = format!("{why}; still using the previous {}", S::NAME);
                if self.reported.as_ref() != Some(&why) {
                    proxy.log_event(format_args!("{line}"));
                    self.reported = Some(why);
                }
                Err(line)
            }
        };
    }
}
