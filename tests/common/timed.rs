//! Tests whose outcome depends on how time passes: on the real clock, of several processes.

use super::DEADLINE;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A thread that sleeps is woken so often, to see when it is late.
const TICK: Duration = Duration::from_millis(5);

/// A machine that lets a thread wait longer than this, beyond its sleep, has no CPU to spare. Far
/// below every time that a test waits for.
const STALL: Duration = Duration::from_millis(30);

/// How often a test is run that fails on such a machine.
const RUNS_MAX: u32 = 10;

/// Runs `test`, which measures time, or needs two things to happen within a short time. If it fails
/// and the machine had no CPU to spare meanwhile, its failure says nothing, and it is run again.
/// On a machine that is free it fails at once.
pub fn timed(test: impl Fn()) {
    let start = Instant::now();
    for _ in 0..RUNS_MAX {
        let (outcome, stall) = watched(&test);
        match outcome {
            Ok(()) => return,
            Err(panic) if stall < STALL => resume_unwind(panic),
            Err(_) => println!("the machine stalled for {stall:?}: this run says nothing"),
        }
        if start.elapsed() > 3 * DEADLINE {
            break;
        }
    }
    println!("skipped: no run on this machine was free of stalls");
}

/// The outcome of one run, and by how much a thread was woken too late meanwhile, at most.
fn watched(test: &impl Fn()) -> (std::thread::Result<()>, Duration) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !is_over.load(SeqCst) {
                let asleep = Instant::now();
                std::thread::sleep(TICK);
                longest = longest.max(asleep.elapsed().saturating_sub(TICK));
            }
            longest
        });
        let outcome = catch_unwind(AssertUnwindSafe(test));
        is_over.store(true, SeqCst);
        (outcome, watch.join().expect("a thread that only sleeps"))
    })
}
