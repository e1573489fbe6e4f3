//! The end of a blocking program by a signal: first its clean-up, then the signal's usual effect.

use super::signals::is_ignored;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::{emulate_default_handler, pipe};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs `clean_up` when SIGINT, SIGTERM or SIGHUP arrives, and then ends the process by that
/// signal, so that the parent sees it. Signals that were ignored when the process started (`nohup`,
/// `&` in a script) stay ignored.
pub fn clean_up_on_stop(clean_up: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (mut arrival, sender) = UnixStream::pair()?;
    let number = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if !is_ignored(signal)? {
            // In this order: the number is there when the byte arrives.
            flag::register_usize(signal, Arc::clone(&number), signal as usize)?;
            pipe::register(signal, sender.try_clone()?)?;
        }
    }
    let wait = move || {
        if arrival.read_exact(&mut [0]).is_err() {
            // All three signals are ignored.
            return;
        }
        clean_up();
        end_by(number.load(Ordering::SeqCst) as i32);
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

/// Ends the process by `signal`. The first process of a container cannot be ended so by the kernel:
/// it exits with the status a shell would report.
fn end_by(signal: i32) {
    if std::process::id() != 1 {
        let _ = emulate_default_handler(signal);
    }
    std::process::exit(128 + signal);
}
