//! Whether a backend is up: pure, from observations. Runs no probe.
//!
//! [`Health`] weighs the results of probes and of clients' requests, `silence` the time without
//! any; `outlier` counts 5xx responses; `check` says what a probe sends and which answers are
//! healthy.

mod belief;
pub mod check;
pub mod dialogue;
mod event;
mod latency;
pub mod outlier;
mod settings;
mod silence;

pub use belief::{HUNG_WITHIN, Health, LastResort, State};
pub use event::{DownReason, InWords, Observation, Others, Page, ProbeFault, Proof, Transition};
pub use settings::{Check, Method, Pace, Settings};
pub use silence::{Action, Silence};

#[cfg(test)]
mod silence_tests;
#[cfg(test)]
mod tests;
