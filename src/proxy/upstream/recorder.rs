//! The balancer with a record of its inputs (`--record`): each call is noted as a line, and done.
//! Where nothing is recorded a call costs one comparison more.

use crate::balance::record::{Line, Setting, Settings, VERSION_LINE};
use crate::balance::{Balancer, Candidate, Explanation, Hint, Spec};
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::config::Config;
use std::fmt::{self, Write};

/// A balancer, and the lines about what it was given since they were taken last.
pub struct Recorder {
    balancer: Balancer,
    tape: Option<Box<Tape>>,
}

/// Lines of a turn. They have one time, as the clock is read once per turn.
#[derive(Debug)]
struct Tape {
    lines: String,
    /// The time that the balancer was given with lines that do not say one; none before the first.
    now: Option<Instant>,
}

impl Tape {
    /// The lines about the start.
    fn begin(setting: Setting, backends: &[(&str, Spec)]) -> Tape {
        let mut tape = Tape { lines: format!("{VERSION_LINE}\n"), now: None };
        setting.lines().for_each(|line| tape.note(&line));
        for (index, &(name, spec)) in backends.iter().enumerate() {
            let spec = Settings::of(spec);
            tape.note(&Line::Added { id: BackendId::new(index), name, spec });
        }
        tape.note(&Line::Run);
        tape
    }

    #[cold]
    #[inline(never)]
    fn note(&mut self, line: &Line<'_>) {
        writeln!(self.lines, "{line}").expect("a string takes any line");
    }

    /// A line that depends on the time, and gets that of the turn in a replay.
    #[cold]
    #[inline(never)]
    fn note_at(&mut self, now: Instant, line: &Line<'_>) {
        self.check_time(now);
        self.now = Some(now);
        self.note(line);
    }

    /// With another time than in the run other servers would be chosen in a replay.
    fn check_time(&self, now: Instant) {
        debug_assert!(self.now.is_none_or(|it| it == now), "two times in one turn");
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recorder").field("tape", &self.tape).finish_non_exhaustive()
    }
}

impl Recorder {
    /// The balancer over `backends`, with a record of its inputs if one is wanted.
    pub fn new(config: &Config, backends: &[(&str, Spec)], places: usize, seed: u64) -> Recorder {
        let strategy = config.strategy;
        let specs: Vec<Spec> = backends.iter().map(|(_, spec)| *spec).collect();
        let slow_start = config.slow_start;
        let balancer = Balancer::new(strategy, &specs, seed).with_slow_start(slow_start);
        let queue = config.timeouts.queue;
        let setting = Setting { strategy, seed, places, queue, slow_start };
        let tape = config.record.is_some().then(|| Tape::begin(setting, backends));
        Recorder { balancer, tape: tape.map(Box::new) }
    }

    /// Whether there is a record.
    pub fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    /// Records no more.
    pub fn stop(&mut self) {
        self.tape = None;
    }

    /// Moves the lines noted since the last call into `into`, with their time before them; how many
    /// there are.
    pub fn take_lines(&mut self, now: Instant, into: &mut String) -> u64 {
        let Some(tape) = &mut self.tape else { return 0 };
        if tape.lines.is_empty() {
            return 0;
        }
        tape.check_time(now);
        tape.now = None;
        // The first line of all stays the first.
        let has_begun = !tape.lines.starts_with(VERSION_LINE);
        if has_begun {
            writeln!(into, "{}", Line::At(now)).expect("a string takes any line");
        }
        into.push_str(&tape.lines);
        let count = tape.lines.bytes().filter(|&byte| byte == b'\n').count();
        tape.lines.clear();
        count as u64 + u64::from(has_begun)
    }

    /// Adds a line, if there is a record.
    #[inline]
    pub fn note<'a>(&mut self, line: impl FnOnce() -> Line<'a>) {
        if let Some(tape) = &mut self.tape {
            tape.note(&line());
        }
    }

    pub fn add(&mut self, name: &str, spec: Spec) -> BackendId {
        let id = self.balancer.add(spec);
        self.note(|| Line::Added { id, name, spec: Settings::of(spec) });
        id
    }

    pub fn remove(&mut self, id: BackendId) {
        self.note(|| Line::Removed(id));
        self.balancer.remove(id);
    }

    pub fn reconfigure(&mut self, id: BackendId, spec: Spec) {
        self.note(|| Line::Changed { id, spec: Settings::of(spec) });
        self.balancer.reconfigure(id, spec);
    }

    pub fn set_up(&mut self, id: BackendId, up: bool) {
        self.note(|| if up { Line::Up(id) } else { Line::Down(id) });
        self.balancer.set_up(id, up);
    }

    pub fn warm(&mut self, id: BackendId, now: Instant) {
        if let Some(tape) = &mut self.tape {
            tape.note_at(now, &Line::Warmed(id));
        }
        self.balancer.warm(id, now);
    }

    pub fn set_leaving(&mut self, id: BackendId, leaving: bool) {
        self.note(|| if leaving { Line::Leaving(id) } else { Line::Readmitted(id) });
        self.balancer.set_leaving(id, leaving);
    }

    #[inline]
    pub fn began(&mut self, id: BackendId) {
        self.note(|| Line::Began(id));
        self.balancer.began(id);
    }

    #[inline]
    pub fn ended(&mut self, id: BackendId) {
        self.note(|| Line::Ended(id));
        self.balancer.ended(id);
    }

    #[inline]
    pub fn served(&mut self, id: BackendId, response_us: u64, at: Instant) {
        self.note(|| Line::Served { id, response_us, at });
        self.balancer.served(id, response_us, at);
    }

    pub fn failed(&mut self, id: BackendId, response_us: Option<u64>, at: Instant) {
        self.note(|| Line::Failed { id, response_us, at });
        self.balancer.failed(id, response_us, at);
    }

    pub fn probed(&mut self, id: BackendId, duration_us: u64) {
        self.note(|| Line::Probed { id, duration_us });
        self.balancer.probed(id, duration_us);
    }

    pub fn report(&mut self, id: BackendId, requests: u64, errors: u64) {
        self.note(|| Line::Reported { id, requests, errors });
        self.balancer.report(id, requests, errors);
    }

    #[inline]
    pub fn pick(&mut self, hint: &Hint<'_>) -> Option<BackendId> {
        let picked = self.balancer.pick(hint);
        if let Some(tape) = &mut self.tape {
            let line = Line::Picked { picked, hash: hint.hash, tried: hint.tried };
            tape.note_at(hint.now, &line);
        }
        picked
    }

    pub fn explain(&self, picked: BackendId, hint: &Hint<'_>) -> Explanation {
        self.balancer.explain(picked, hint)
    }

    pub fn candidate(&self, id: BackendId) -> &Candidate {
        self.balancer.candidate(id)
    }

    pub fn in_flight(&self, id: BackendId) -> u32 {
        self.balancer.in_flight(id)
    }
}

#[cfg(test)]
#[cfg(debug_assertions)]
mod tests {
    use super::*;
    use crate::balance::AdminState;
    use crate::config::HostPort;
    use std::path::PathBuf;

    #[test]
    #[should_panic(expected = "two times in one turn")]
    fn a_slow_start_at_another_time_than_that_of_its_turn_is_a_fault() {
        let mut config = Config::new(HostPort::bare(80), Vec::new());
        config.record = Some(PathBuf::from("record"));
        let settings =
            Settings { weight: 1, backup: false, pairs_max: None, admin: AdminState::Ready };
        let specs = ["a:1", "a:2"].map(|name| (name, settings.named(name)));
        let mut recorder = Recorder::new(&config, &specs, 1, 0);
        let (earlier, turn) = (Instant::from_micros(1), Instant::from_micros(2));
        recorder.take_lines(turn, &mut String::new());
        recorder.warm(BackendId::new(0), earlier);
        recorder.take_lines(turn, &mut String::new());
    }
}
