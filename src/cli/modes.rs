//! In which modes an option or a strategy has an effect, and the refusal of one that has none in
//! the mode at hand.

use super::error::UsageError;
use super::option::Opt;
use super::scan::Given;
use super::value::named;
use crate::balance::Strategy;
use crate::config::{Config, Mode};

/// Every mode by its name, for `-m` and messages.
pub const NAMES: [(&str, Mode); 3] =
    [("http", Mode::Http), ("tcp", Mode::Tcp), ("redirect", Mode::Redirect)];

/// Some of the modes.
pub type Modes = &'static [Mode];

/// Listening, choosing, probing, logging: whatever the mode.
pub const EVERY: Modes = &[Mode::Http, Mode::Tcp, Mode::Redirect];
/// Where requests are read and answers are made here.
pub const HEADS: Modes = &[Mode::Http, Mode::Redirect];
/// Where clients are joined to backends, and wait for one.
pub const PAIRS: Modes = &[Mode::Http, Mode::Tcp];
/// Where requests are forwarded.
pub const HTTP: Modes = &[Mode::Http];
/// Where clients are sent elsewhere.
pub const REDIRECT: Modes = &[Mode::Redirect];

/// Where a strategy has something to go by.
fn of(strategy: Strategy) -> Modes {
    match strategy {
        // Whoever is redirected is not in flight.
        Strategy::LeastConn | Strategy::PowerOfTwo => PAIRS,
        Strategy::Uri | Strategy::Header => HEADS,
        Strategy::First
        | Strategy::RoundRobin
        | Strategy::Random
        | Strategy::LeastTime
        | Strategy::LeastLoad
        | Strategy::Rank
        | Strategy::Source => EVERY,
    }
}

/// Refuses what was given and does nothing in the mode of `config`; defaults are never refused.
pub fn check(
    rows: &[&'static Opt<Config>],
    given: &Given,
    config: &Config,
) -> Result<(), UsageError> {
    let strategy = (format!("-s {}", config.strategy.name()), of(config.strategy));
    let options = rows.iter().filter(|row| given.has(row.long));
    let options = options.map(|row| (row.names(), row.modes));
    let mut all = std::iter::once(strategy).chain(options);
    match all.find(|(_, modes)| !modes.contains(&config.mode)) {
        Some((spelled, modes)) => Err(UsageError::NoEffect {
            spelled,
            mode: named(config.mode, &NAMES),
            modes: modes.iter().map(|mode| named(*mode, &NAMES)).collect(),
        }),
        None => Ok(()),
    }
}
