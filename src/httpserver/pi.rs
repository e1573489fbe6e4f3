//! π by the Leibniz series at a fixed pace: work whose length the client chooses, so that the
//! effect of balancing shows. The time is slept: many demo servers share one processor.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Most terms of one page: one minute.
pub const TERMS_MAX: u64 = 60_000;

/// Pages computed or waiting at once. Each holds a connection and a thread: the rest of the
/// connections stays free for other requests.
const QUEUE_MAX: usize = 256;

/// Time one term takes.
const TERM: Duration = Duration::from_millis(1);

/// Terms between two sleeps: waking up for each one would take longer than the pace allows.
const STRIDE: u64 = 10;

/// Terms between two checks that the client has not closed.
const CHECK_STRIDE: u64 = 100;

/// The one computation at a time of this server, and the pages that wait for it in their order.
#[derive(Debug, Default)]
pub struct Pi {
    queue: Mutex<Queue>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Pages begun or finished since the start; a page's place is the count before it.
    arrived: u64,
    /// Of these, finished.
    finished: u64,
    /// Terms of the pages not finished.
    terms: u64,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PiError {
    /// No further page can wait; the time until all waiting pages are computed.
    QueueFull(Duration),
    /// The client has closed, and others wait.
    Abandoned,
}

impl Queue {
    /// Pages computed or waiting.
    fn length(&self) -> u64 {
        self.arrived - self.finished
    }
}

impl Pi {
    /// π to `terms` terms, at most [`TERMS_MAX`], once all earlier computations are done.
    /// `has_closed` says whether the client has closed its side: it may still be reading, so it
    /// gets its page unless others wait.
    pub fn compute(&self, terms: u64, has_closed: impl Fn() -> bool) -> Result<f64, PiError> {
        let terms = terms.min(TERMS_MAX);
        let mut queue = self.lock();
        if queue.length() >= QUEUE_MAX as u64 {
            return Err(PiError::QueueFull(TERM.saturating_mul(queue.terms as u32)));
        }
        let place = queue.arrived;
        queue.arrived += 1;
        queue.terms += terms;
        let earlier = |queue: &mut Queue| queue.finished < place;
        let waited = self.finished.wait_while(queue, earlier);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        let value = leibniz(terms, || self.lock().length() > 1 && has_closed());
        let mut queue = self.lock();
        queue.finished += 1;
        queue.terms -= terms;
        self.finished.notify_all();
        value.ok_or(PiError::Abandoned)
    }

    /// One whose pages, of `terms` terms in all, never end.
    #[cfg(test)]
    pub fn full(terms: u64) -> Pi {
        let queue = Queue { arrived: QUEUE_MAX as u64, finished: 0, terms };
        Pi { queue: Mutex::new(queue), finished: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 4 - 4/3 + 4/5 - … to `terms` terms, each of which takes [`TERM`]; none when it was abandoned.
fn leibniz(terms: u64, is_abandoned: impl Fn() -> bool) -> Option<f64> {
    let start = Instant::now();
    let mut sum = 0.0;
    for number in 0..terms {
        if number % CHECK_STRIDE == 0 && is_abandoned() {
            return None;
        }
        let size = 4.0 / (2 * number + 1) as f64;
        sum += if number.is_multiple_of(2) { size } else { -size };
        if (number + 1) % STRIDE == 0 || number + 1 == terms {
            let due = start + TERM.saturating_mul(number as u32 + 1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    Some(sum)
}

/// The page that shows the result.
pub fn page(terms: u64, value: f64, port: u16) -> Vec<u8> {
    let noun = if terms == 1 { "term" } else { "terms" };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>pi</title></head>\n\
         <body><h1>&pi; &asymp; {value:.15}</h1>\
         <p>{terms} Leibniz {noun}, computed by httpserver on port {port}</p></body></html>\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_has_its_known_sums() {
        for (terms, expected) in [(1, 4.0), (2, 2.666_666_666_666_667), (10, 3.041_839_618_929_403)]
        {
            let value = Pi::default().compute(terms, || false).unwrap();
            assert!((value - expected).abs() < 1e-12, "{terms}: {value}");
        }
    }

    #[test]
    fn each_term_takes_a_millisecond_and_computations_take_turns() {
        let pi = Pi::default();
        let start = Instant::now();
        thread::scope(|scope| {
            for terms in [15, 20, 25] {
                let pi = &pi;
                scope.spawn(move || pi.compute(terms, || false).unwrap());
            }
        });
        assert!(start.elapsed() >= Duration::from_millis(60));
    }

    #[test]
    fn the_page_past_the_limit_is_refused_with_the_time_to_wait() {
        let pi = Pi::full(1_500);
        assert_eq!(pi.compute(1, || false), Err(PiError::QueueFull(Duration::from_millis(1_500))));
        pi.lock().arrived -= 1;
        thread::scope(|scope| {
            let last = scope.spawn(|| pi.compute(1, || false));
            while pi.lock().arrived < QUEUE_MAX as u64 {
                thread::yield_now();
            }
            assert!(pi.compute(1, || false).is_err());
            pi.lock().finished = QUEUE_MAX as u64 - 1;
            pi.finished.notify_all();
            assert_eq!(last.join().unwrap(), Ok(4.0));
        });
        assert_eq!(pi.lock().terms, 1_500);
        assert_eq!(pi.compute(1, || false), Ok(4.0));
    }

    #[test]
    fn a_page_of_a_client_that_closed_is_given_up_while_others_wait() {
        let pi = Pi::default();
        assert_eq!(pi.compute(1, || true), Ok(4.0));
        thread::scope(|scope| {
            let closed = scope.spawn(|| pi.compute(TERMS_MAX, || true));
            while pi.lock().arrived < 2 {
                thread::yield_now();
            }
            assert_eq!(pi.compute(1, || false), Ok(4.0));
            assert_eq!(closed.join().unwrap(), Err(PiError::Abandoned));
        });
        assert_eq!(pi.lock().terms, 0);
    }

    #[test]
    fn the_page_shows_value_terms_and_port() {
        let page = String::from_utf8(page(1, 4.0, 1234)).unwrap();
        for part in ["4.000000000000000", "1 Leibniz term,", "port 1234"] {
            assert!(page.contains(part), "{part}");
        }
    }
}
