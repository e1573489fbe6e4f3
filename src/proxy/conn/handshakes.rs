//! How many steps of TLS handshakes a turn does, with clients and with servers.

/// Steps of handshakes per turn. One takes the time of many requests, so that a burst of them would
/// hold up everybody else.
const STEPS_MAX: u32 = 8;

/// Steps of handshakes that are left to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeSteps(u32);

impl HandshakeSteps {
    /// Those of one turn.
    pub fn of_a_turn() -> HandshakeSteps {
        HandshakeSteps(STEPS_MAX)
    }

    /// Whether this turn may do another one.
    pub fn has_one(self) -> bool {
        self.0 > 0
    }

    /// A part of a handshake was done that has read so many bytes: one that has read nothing has
    /// computed nothing.
    pub(super) fn count(&mut self, bytes: u64) {
        self.0 = self.0.saturating_sub(u32::from(bytes > 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_does_eight_steps_and_what_reads_nothing_is_none() {
        let mut steps = HandshakeSteps::of_a_turn();
        for done in 0..STEPS_MAX {
            steps.count(0);
            assert!(steps.has_one(), "after {done}");
            steps.count(1 << 40);
        }
        assert!(!steps.has_one());
        // What was begun with the last one may go on.
        steps.count(1);
        assert!(!steps.has_one());
    }
}
