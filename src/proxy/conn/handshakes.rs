//! How many steps of TLS handshakes a turn does, with clients and with servers. One takes the time of
//! many requests, so that they come after everything else of the turn, and few of them.

/// Steps of handshakes per turn at most.
const STEPS_MAX: u32 = 8;

/// Other steps that a further one of a handshake is allowed for: where the others take 10 us each and
/// a handshake 150, handshakes get half of the time at most, and one is always done.
const OTHERS_EACH: u32 = 16;

/// Steps of handshakes that are left to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeSteps {
    /// Everything else of the turn is done.
    is_their_part: bool,
    left: u32,
}

impl HandshakeSteps {
    /// None: other steps come first.
    pub fn none() -> HandshakeSteps {
        HandshakeSteps { is_their_part: false, left: 0 }
    }

    /// Those of a turn that has done so many other steps.
    pub fn after(others: u32) -> HandshakeSteps {
        HandshakeSteps { is_their_part: true, left: (1 + others / OTHERS_EACH).min(STEPS_MAX) }
    }

    /// The steps of the others are over, and these have begun.
    pub fn have_begun(self) -> bool {
        self.is_their_part
    }

    /// Whether this turn may do another one.
    pub fn has_one(self) -> bool {
        self.left > 0
    }

    /// A part of a handshake was done that has read so many bytes: one that has read nothing has
    /// computed nothing.
    pub(super) fn count(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(u32::from(bytes > 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_does_more_steps_the_more_others_it_has_and_eight_at_most() {
        assert!(!HandshakeSteps::none().has_one());
        for (others, expected) in
            [(0, 1), (15, 1), (16, 2), (100, 7), (112, 8), (128, 8), (u32::MAX, 8)]
        {
            let mut steps = HandshakeSteps::after(others);
            for done in 0..expected {
                steps.count(0);
                assert!(steps.has_one(), "after {done} of {others}");
                steps.count(1 << 40);
            }
            assert!(!steps.has_one(), "{others} others");
            // What was begun with the last one may go on.
            steps.count(1);
            assert!(!steps.has_one());
        }
    }
}
