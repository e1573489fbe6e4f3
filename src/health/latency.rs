//! How long a backend usually takes to the first byte of a response, and whether it works on more
//! than one request at a time. Learned from its responses.

use crate::base::time::Instant;
use std::time::Duration;

/// Bucket 0 is below 1 ms, each further one twice as long, the last from 2^18 ms (4 minutes) on.
const BUCKETS: usize = 20;
/// At this many responses all counts are halved, so that old ones lose their weight.
const TOTAL_MAX: u16 = 1_000;
/// One response in this many may take longer than what is usual.
const EXCEPTIONS: u16 = 100;

/// First-byte times of the latest responses, as a histogram.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    counts: [u16; BUCKETS],
    total: u16,
}

impl Latency {
    /// A response began `took` after its request was sent.
    pub fn record(&mut self, took: Duration) {
        let bits = u64::BITS - (took.as_millis() as u64).leading_zeros();
        self.counts[(bits as usize).min(BUCKETS - 1)] += 1;
        self.total += 1;
        if self.total >= TOTAL_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
    }

    /// Responses that are remembered, at most [`TOTAL_MAX`].
    pub fn total(&self) -> u32 {
        self.total.into()
    }

    /// 99 of 100 responses begin within this time; with fewer than 100 all did. None before the
    /// first response. Rounded up to a power of two.
    pub fn usual(&self) -> Option<Duration> {
        let exceptions = self.total / EXCEPTIONS;
        let mut above = 0;
        let slowest = (0..BUCKETS).rev().find(|&bucket| {
            above += self.counts[bucket];
            above > exceptions
        });
        slowest.map(|bucket| Duration::from_millis(1 << bucket))
    }
}

/// Whether a backend has served a connection while another was open, or answered a request while an
/// earlier one was outstanding. Until then it may work on one request at a time, and a probe
/// without an answer says only that it is busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// Nothing is outstanding.
    #[default]
    Unknown,
    /// The request sent at this time is outstanding; nothing sent after it was answered yet.
    Watching(Instant),
    /// Seen once, which is enough.
    Seen,
}

impl Concurrency {
    /// A request was sent.
    pub fn sent(&mut self, now: Instant) {
        if *self == Concurrency::Unknown {
            *self = Concurrency::Watching(now);
        }
    }

    /// What was sent at `sent`, a request or a probe, was answered.
    pub fn answered(&mut self, sent: Instant) {
        if let Concurrency::Watching(outstanding) = *self
            && sent > outstanding
        {
            *self = Concurrency::Seen;
        }
    }

    /// Something was answered on a new connection while an older one was open.
    pub fn served_beside(&mut self) {
        *self = Concurrency::Seen;
    }

    /// The request sent at `sent` is no longer outstanding.
    pub fn ended(&mut self, sent: Instant) {
        if *self == Concurrency::Watching(sent) {
            *self = Concurrency::Unknown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_time_is_what_99_of_100_responses_take() {
        for (name, times, usual_ms) in [
            ("none", &[][..], None),
            ("below a millisecond", &[(5, 0)], Some(1)),
            ("one slow response of few is usual", &[(40, 3), (1, 3_000)], Some(4_096)),
            ("up to one of a hundred is not", &[(990, 3), (9, 3_000)], Some(4)),
            ("more are", &[(900, 3), (20, 3_000)], Some(4_096)),
            ("slower than any bucket", &[(1, 10_000_000)], Some(1 << 19)),
            ("old ones are forgotten", &[(400, 3_000), (5_000, 3)], Some(4)),
            ("a server that becomes slow", &[(5_000, 3), (20, 900)], Some(1_024)),
        ] {
            let mut latency = Latency::default();
            for &(count, ms) in times {
                (0..count).for_each(|_| latency.record(Duration::from_millis(ms)));
            }
            assert_eq!(latency.usual(), usual_ms.map(Duration::from_millis), "{name}");
        }
    }

    #[test]
    fn an_answer_that_overtakes_an_earlier_request_shows_concurrency() {
        enum Event {
            Sent(u64),
            Answered(u64),
            Ended(u64),
        }
        use Event::{Answered, Ended, Sent};
        for (name, events, seen) in [
            ("one after the other", &[Sent(1), Answered(1), Sent(2), Answered(2)][..], false),
            ("queued, in order", &[Sent(1), Sent(2), Answered(1), Answered(2)], false),
            (
                "queued without a pause",
                &[Sent(1), Sent(2), Answered(1), Sent(3), Answered(2)],
                false,
            ),
            ("overtaken", &[Sent(1), Sent(2), Answered(2)], true),
            ("overtaken by a probe", &[Sent(1), Answered(2)], true),
            ("a probe from before", &[Sent(2), Answered(1)], false),
            ("at the same time", &[Sent(1), Sent(1), Answered(1), Answered(1)], false),
            ("the earlier one was given up", &[Sent(1), Sent(2), Ended(1), Answered(2)], false),
            ("once is enough", &[Sent(1), Answered(2), Ended(1), Sent(3), Answered(3)], true),
            (
                "watched again behind a first",
                &[Sent(1), Sent(2), Answered(1), Sent(3), Sent(4), Answered(4)],
                true,
            ),
        ] {
            let at = |ms: &u64| Instant::from_micros(ms * 1_000);
            let mut concurrency = Concurrency::default();
            for event in events {
                match event {
                    Sent(ms) => concurrency.sent(at(ms)),
                    Answered(ms) => {
                        concurrency.answered(at(ms));
                        concurrency.ended(at(ms));
                    }
                    Ended(ms) => concurrency.ended(at(ms)),
                }
            }
            assert_eq!(concurrency == Concurrency::Seen, seen, "{name}");
        }
    }
}
