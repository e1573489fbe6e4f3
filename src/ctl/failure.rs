//! Why a command was not carried out, as one line.

use crate::base::reason::reason;
use std::fmt;
use std::io;

/// Why `ctl` ended.
#[derive(Debug)]
pub enum Failure {
    /// No instance of this user.
    NoneRuns,
    /// None listens there.
    NoneThere(String),
    /// More than one may be meant.
    Several(Vec<String>),
    /// It has ended, or does not answer.
    NoAnswer(String, io::Error),
    /// What it says against the command.
    Refused(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

/// What another process wrote, without control characters.
fn for_terminal(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NoneRuns => out.write_str(
                "no balancer of this user runs here, or each was started with --no-control",
            ),
            Failure::NoneThere(place) => write!(
                out,
                "no balancer of this user listens on {place}; loadbalancer ctl lists those that run"
            ),
            Failure::Several(places) => write!(
                out,
                "{} balancers run: {}; name one, as in loadbalancer ctl {} status",
                places.len(),
                places.join(", "),
                places.first().map_or("ADDR", String::as_str)
            ),
            Failure::NoAnswer(place, error) => match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    write!(out, "{place}: the control socket is another user's")
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    write!(out, "{place}: the balancer does not answer in time")
                }
                _ => write!(out, "{place}: no answer from the balancer: {}", reason(error)),
            },
            Failure::Refused(text) => out.write_str(&for_terminal(text)),
            Failure::Output(error) => write!(out, "cannot write the answer: {}", reason(error)),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_balancer_says_against_a_command_does_not_steer_the_terminal() {
        let failure = Failure::Refused("no \x1b[2Jserver\r\n\u{9b}x".to_owned());
        assert_eq!(failure.to_string(), "no [2Jserverx");
    }
}
