//! What a record says before its first choice: the run's settings and its backends.

use super::lines::{Lines, Problem};
use crate::balance::record::{Line, Setting, Settings};
use crate::balance::{Balancer, Spec, Strategy};
use std::io::BufRead;
use std::time::Duration;

/// Most backends, removed ones that have not left included.
pub const BACKENDS_MAX: usize = 10_000;

/// The lines up to `run`.
#[derive(Clone, Debug)]
pub struct Header {
    pub setting: Setting,
    pub backends: Vec<(String, Settings)>,
}

impl Header {
    /// Reads up to `run`.
    ///
    /// Errors: a line is bad, or missing.
    pub fn read<R: BufRead>(lines: &mut Lines<R>) -> Result<Header, Problem> {
        let (mut strategy, mut seed, mut places, mut queue) = (None, None, None, None);
        let mut slow_start = Duration::ZERO;
        let mut backends = Vec::new();
        loop {
            let Some(line) = lines.next()? else {
                return Err(lines.problem("the record ends before `run`"));
            };
            match line {
                Line::Strategy(value) => strategy = Some(value),
                Line::Seed(value) => seed = Some(value),
                Line::Places(value) => places = Some(value),
                Line::QueueTimeout(value) => queue = Some(value),
                Line::SlowStart(value) => slow_start = value,
                Line::Added { id, name, spec } => {
                    if id.index() != backends.len() || backends.len() == BACKENDS_MAX {
                        let expected = backends.len();
                        let got = id.index();
                        let text = format!("expected backend {expected}, got {got}");
                        return Err(lines.problem(text));
                    }
                    backends.push((name.to_owned(), spec));
                }
                Line::Run => break,
                line => {
                    let text = format!("expected the settings of the run, got `{line}`");
                    return Err(lines.problem(text));
                }
            }
        }
        let missing = |what| lines.problem(format!("before `run` there is no line `{what}`"));
        let setting = Setting {
            strategy: strategy.ok_or_else(|| missing("strategy"))?,
            seed: seed.ok_or_else(|| missing("seed"))?,
            places: places.ok_or_else(|| missing("places"))?,
            queue: queue.unwrap_or(Duration::MAX),
            slow_start,
        };
        Ok(Header { setting, backends })
    }

    /// The balancer at the start, with a strategy of its own.
    pub fn balancer(&self, strategy: Strategy) -> Balancer {
        let spec = |(name, settings): &(String, Settings)| settings.named(name);
        let specs: Vec<Spec> = self.backends.iter().map(spec).collect();
        let balancer = Balancer::new(strategy, &specs, self.setting.seed);
        balancer.with_slow_start(self.setting.slow_start)
    }
}
