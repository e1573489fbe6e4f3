//! π by the Leibniz series at a fixed pace: work whose length the client chooses, so that the
//! effect of balancing shows. The time is slept: many demo servers share one processor.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Most terms of one page: one minute.
pub const TERMS_MAX: u64 = 60_000;

/// Time one term takes.
const TERM: Duration = Duration::from_millis(1);

/// Terms between two sleeps: waking up for each one would take longer than the pace allows.
const STRIDE: u64 = 10;

/// The one computation at a time of this server; further pages wait for it.
#[derive(Debug, Default)]
pub struct Pi(Mutex<()>);

impl Pi {
    /// π to `terms` terms, at most [`TERMS_MAX`], once all earlier computations are done.
    pub fn compute(&self, terms: u64) -> f64 {
        // A computation that panicked left no state.
        let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        let mut sum = 0.0;
        for number in 0..terms.min(TERMS_MAX) {
            sum += term(number);
            if (number + 1) % STRIDE == 0 || number + 1 == terms {
                let due = start + TERM.saturating_mul(number as u32 + 1);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        sum
    }
}

/// Term `number` of 4 - 4/3 + 4/5 - …
fn term(number: u64) -> f64 {
    let size = 4.0 / (2 * number + 1) as f64;
    if number.is_multiple_of(2) { size } else { -size }
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
            let value = Pi::default().compute(terms);
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
                scope.spawn(move || pi.compute(terms));
            }
        });
        assert!(start.elapsed() >= Duration::from_millis(60));
    }

    #[test]
    fn the_page_shows_value_terms_and_port() {
        let page = String::from_utf8(page(1, 4.0, 1234)).unwrap();
        for part in ["4.000000000000000", "1 Leibniz term,", "port 1234"] {
            assert!(page.contains(part), "{part}");
        }
    }
}
