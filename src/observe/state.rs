//! The state of the program in lines for standard error (SIGUSR1): what is known without counting.

use super::snapshot::BackendState;
use crate::base::figures::span;
use crate::wire::by_hand::ByHand;
use std::fmt;
use std::time::Duration;

/// The line about the program.
#[derive(Clone, Copy, Debug)]
pub struct ProgramState {
    pub in_flight: usize,
    pub in_flight_max: usize,
    pub queued: usize,
    pub clients: usize,
    /// Backends that are up, and all that take part.
    pub up: usize,
    pub total: usize,
}

impl fmt::Display for ProgramState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProgramState { in_flight, in_flight_max, queued, clients, up, total } = self;
        write!(out, "{in_flight} of {in_flight_max} in flight, {queued} queued, ")?;
        write!(out, "{clients} clients, {up} of {total} backends up")
    }
}

/// The line about one backend.
#[derive(Clone, Copy)]
pub struct ServerState<'a> {
    pub name: &'a str,
    pub state: BackendState,
    /// How long it has been in that state.
    pub since: Duration,
    pub in_flight: u32,
    /// Its own limit.
    pub max: Option<u32>,
    pub weight: u32,
    pub backup: bool,
    pub by_hand: ByHand,
    /// Why it is down, or what the last probe found wrong.
    pub reason: Option<&'a dyn fmt::Display>,
}

impl fmt::Display for ServerState<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerState { name, state, since, in_flight, max, weight, backup, by_hand, reason } =
            self;
        let since = span(Some(since.as_secs_f64()));
        write!(out, "backend {name} {} for {since}, {in_flight} in flight", state.name())?;
        if let Some(max) = max {
            write!(out, " of {max}")?;
        }
        write!(out, ", weight {weight}")?;
        if *backup {
            out.write_str(", backup")?;
        }
        if !by_hand.is_none() {
            write!(out, ", {by_hand} by hand")?;
        }
        if let Some(reason) = reason {
            write!(out, ": {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_is_known_of_a_server() {
        let server = ServerState {
            name: "a:80",
            state: BackendState::Up,
            since: Duration::from_secs(7),
            in_flight: 3,
            max: None,
            weight: 1,
            backup: false,
            by_hand: ByHand::default(),
            reason: None,
        };
        assert_eq!(server.to_string(), "backend a:80 up for 7s, 3 in flight, weight 1");
        let state = BackendState::Down;
        let by_hand = ByHand { weight: Some(1), ..ByHand::default() };
        let down = ServerState {
            state,
            since: Duration::from_secs(75),
            max: Some(9),
            backup: true,
            by_hand,
            reason: Some(&"late"),
            ..server
        };
        let expected = "backend a:80 down for 1m 15s, 3 in flight of 9, weight 1, backup, \
                        weight=1 by hand: late";
        assert_eq!(down.to_string(), expected);
    }
}
