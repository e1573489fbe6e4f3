//! What the system says of this process: CPU time, memory, descriptors.

use std::fs;
use std::time::{Duration, Instant};

/// Figures of this process; 0 for what the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    pub pid: u32,
    /// Of user and system, all threads.
    pub cpu: Duration,
    pub resident_bytes: u64,
    /// None before Linux 6.2, where counting them takes longer than a turn should.
    pub descriptors_open: Option<u64>,
    pub descriptors_max: u64,
}

impl ProcessFigures {
    /// As they are now: four system calls, none of which waits.
    pub fn now() -> ProcessFigures {
        ProcessFigures {
            pid: std::process::id(),
            cpu: cpu(),
            resident_bytes: resident_bytes().unwrap_or_default(),
            descriptors_open: descriptors_open(),
            descriptors_max: super::listen::file_limit().unwrap_or_default(),
        }
    }
}

#[allow(unsafe_code)]
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`, which the call writes.
    if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The second number of `statm`, in pages (proc_pid_statm(5)).
#[allow(unsafe_code)]
fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: the call takes no pointer.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page_bytes).ok()?)
}

/// The size of the directory (proc_pid_fd(5)).
fn descriptors_open() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    (size > 0).then_some(size)
}

/// How often the end of a process is looked for.
const END_LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for the end of the process of this number; false if it goes on after `limit`.
pub fn ends_within(process: u32, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while !has_ended(process) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(END_LOOK_INTERVAL);
    }
    true
}

/// Whether the process of this number has ended, though its parent may not know yet.
#[cfg(target_os = "linux")]
fn has_ended(process: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return true };
    // The name before the state is in brackets and may have any characters (proc_pid_stat(5)).
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_none_or(|state| matches!(state, 'Z' | 'X'))
}

/// Whether the process of this number has ended and its parent knows.
#[cfg(not(target_os = "linux"))]
#[allow(unsafe_code)]
fn has_ended(process: u32) -> bool {
    let Ok(process) = libc::pid_t::try_from(process) else { return true };
    // SAFETY: the call takes numbers; without a signal it only looks for the process.
    let outcome = unsafe { libc::kill(process, 0) };
    outcome != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let figures = ProcessFigures::now();
        assert_eq!(figures.pid, std::process::id());
        assert!(figures.resident_bytes > 100_000, "{figures:?}");
        assert!(figures.descriptors_open.is_none_or(|open| open >= 3), "{figures:?}");
        assert!(figures.descriptors_max > 16, "{figures:?}");
    }
}
