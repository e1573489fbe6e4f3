//! The modes by name, and in which of them an option or a strategy has an effect.

use crate::balance::Strategy;
use crate::config::Mode;

/// Every mode by its name, for `-m` and messages.
pub const NAMES: [(&str, Mode); 3] =
    [("http", Mode::Http), ("tcp", Mode::Tcp), ("redirect", Mode::Redirect)];

/// Some of the modes.
pub type Modes = &'static [Mode];

/// Listening, choosing, probing, logging: every mode.
pub const EVERY: Modes = &[Mode::Http, Mode::Tcp, Mode::Redirect];
/// Where requests are read and some are answered here.
pub const HEADS: Modes = &[Mode::Http, Mode::Redirect];
/// Where clients are joined to backends and may wait for one.
pub const PAIRS: Modes = &[Mode::Http, Mode::Tcp];
/// Where requests are forwarded.
pub const HTTP: Modes = &[Mode::Http];
/// Where bytes are forwarded whatever they mean.
pub const TCP: Modes = &[Mode::Tcp];
/// Where clients are redirected.
pub const REDIRECT: Modes = &[Mode::Redirect];

/// The modes that give a strategy what it compares.
pub fn of_strategy(strategy: Strategy) -> Modes {
    match strategy {
        // A redirected client is not in flight here.
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
