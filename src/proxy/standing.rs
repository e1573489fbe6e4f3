//! How many backends can take requests, in numbers and in words.

use crate::config::Mode;
use std::fmt;

/// How many backends there are, by what requests can expect of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In rotation and believed up.
    pub up: usize,
    /// Taken out of rotation by the operator, and probed.
    pub draining: usize,
    /// Taken out of service by the operator.
    pub disabled: usize,
    /// All of them.
    pub total: usize,
}

impl Counts {
    /// Those out of rotation, as the rest of a clause.
    pub fn withdrawn(self) -> Withdrawn {
        Withdrawn(self)
    }
}

/// The backends that the operator has taken out of rotation, as the rest of a clause.
#[derive(Clone, Copy, Debug)]
pub struct Withdrawn(Counts);

impl fmt::Display for Withdrawn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, word) in [(self.0.draining, "draining"), (self.0.disabled, "set to down")] {
            if count > 0 {
                write!(out, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}

/// How many backends can take requests, and what happens if there are none, as a clause.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub counts: Counts,
    pub mode: Mode,
    /// The status of [`Config::all_down_status`].
    pub all_down_status: u16,
}

impl fmt::Display for Standing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Standing { counts, mode, all_down_status } = self;
        match *counts {
            Counts { total: 0, .. } => out.write_str("no backend is left")?,
            Counts { up: 0, .. } => out.write_str("none is up")?,
            Counts { up, total, .. } => write!(out, "{up} of {total} up")?,
        }
        write!(out, "{}", counts.withdrawn())?;
        if counts.up > 0 {
            return Ok(());
        }
        out.write_str(", ")?;
        match mode {
            Mode::Http | Mode::Redirect => {
                write!(out, "every request is answered {all_down_status}")
            }
            Mode::Tcp => out.write_str("every connection is closed"),
        }
    }
}
