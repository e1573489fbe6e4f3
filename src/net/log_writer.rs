//! Writes log lines on a thread of its own, so that a slow disk or a stalled reader never blocks
//! the loop. What exceeds [`HELD_BYTES_MAX`] stays with the loop, which has a limit of its own.

use super::{LogFailure, Waker};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Most bytes with the thread, those it is writing included: a bound by bytes, so that it holds as
/// many lines at one line per turn as at a thousand.
pub const HELD_BYTES_MAX: usize = 256 * 1024;

/// The loop's side. Dropping it does not wait: the thread writes what it has, then ends.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Lines were added, or the queue was closed.
    changed: Condvar,
    /// The queue has a failure: spares the loop a lock per turn.
    has_failed: AtomicBool,
}

/// What both sides know. Locked only to copy or swap buffers, never across a write.
#[derive(Debug, Default)]
struct Queue {
    /// Whole lines, which the thread takes all at once.
    waiting: Vec<u8>,
    /// The number of them.
    waiting_lines: u64,
    /// Bytes and lines that the thread has taken and not yet written.
    writing: Unwritten,
    /// The last failed write, with the lines lost since the loop asked last.
    failure: Option<LogFailure>,
    /// The loop waits for room or for the last line.
    wakes_loop: bool,
    /// Saves the system call that wakes it while it is busy.
    thread_sleeps: bool,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Unwritten {
    bytes: usize,
    lines: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter {
    /// Starts a thread called `name` that writes to `out`; `waker` wakes a loop that waits for room
    /// or for the last line.
    ///
    /// Errors: the system has no thread left.
    pub fn start(
        name: &str,
        mut out: impl Write + Send + 'static,
        waker: Waker,
    ) -> io::Result<LogWriter> {
        let shared = Arc::new(Shared::default());
        let queue = Arc::clone(&shared);
        let work = move || write_until_closed(&mut out, &queue, &waker);
        std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(LogWriter { shared })
    }

    /// Takes as many whole lines of `lines` as there is room for: how many bytes. If that is not
    /// all, it wakes the loop after the next write.
    pub fn offer(&mut self, lines: &[u8]) -> usize {
        let mut queue = self.shared.lock();
        let room = HELD_BYTES_MAX - queue.waiting.len() - queue.writing.bytes;
        let taken = whole_lines(lines, room);
        queue.wakes_loop = taken.len() < lines.len();
        if taken.is_empty() {
            return 0;
        }
        queue.waiting.extend_from_slice(taken);
        queue.waiting_lines += count_lines(taken);
        let wakes_thread = std::mem::take(&mut queue.thread_sleeps);
        drop(queue);
        if wakes_thread {
            self.shared.changed.notify_one();
        }
        taken.len()
    }

    /// How many lines it has taken and not written. If there are any, it wakes the loop after the
    /// next write.
    pub fn unwritten_lines(&mut self) -> u64 {
        let mut queue = self.shared.lock();
        let lines = queue.waiting_lines + queue.writing.lines;
        queue.wakes_loop |= lines > 0;
        lines
    }

    /// Whether a write has failed since the last [`LogWriter::take_failure`].
    pub fn has_failed(&self) -> bool {
        self.shared.has_failed.load(Ordering::Relaxed)
    }

    /// What failed since the last call. The loop is woken when there is something.
    pub fn take_failure(&mut self) -> Option<LogFailure> {
        if !self.has_failed() {
            return None;
        }
        let mut queue = self.shared.lock();
        self.shared.has_failed.store(false, Ordering::Relaxed);
        queue.failure.take()
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

/// The lines of `lines` that fit into `room` bytes. A line is not split, as the next one may go to
/// another file; unless it is longer than all the room there ever is.
fn whole_lines(lines: &[u8], room: usize) -> &[u8] {
    if lines.len() <= room {
        return lines;
    }
    let fitting = &lines[..room];
    match fitting.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => &fitting[..=end],
        None if room == HELD_BYTES_MAX => fitting,
        None => &[],
    }
}

fn count_lines(text: &[u8]) -> u64 {
    // By parts whose sum fits into a byte, which lets the compiler count 16 bytes at a time.
    let count = |part: &[u8]| part.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>();
    text.chunks(usize::from(u8::MAX)).map(|part| u64::from(count(part))).sum()
}

fn write_until_closed(out: &mut impl Write, shared: &Shared, waker: &mio::Waker) {
    let mut chunk = Vec::new();
    // The last write that worked ended within a line, the rest of which was lost.
    let mut is_torn = false;
    while take_chunk(shared, &mut chunk) {
        let mut written = 0;
        let outcome = match is_torn {
            true => out.write_all(b"\n").inspect(|()| is_torn = false),
            false => Ok(()),
        };
        let outcome = outcome.and_then(|()| {
            write_chunk(out, &chunk, |count| {
                let part = &chunk[written..written + count];
                written += count;
                report(shared, waker, part, Ok(()));
            })
        });
        if let Err(error) = outcome {
            is_torn |= chunk[..written].last().is_some_and(|&byte| byte != b'\n');
            report(shared, waker, &chunk[written..], Err(error));
        }
    }
}

/// Waits for lines and takes them all, as `chunk`; false once the queue is closed and empty.
fn take_chunk(shared: &Shared, chunk: &mut Vec<u8>) -> bool {
    chunk.clear();
    let mut queue = shared.lock();
    while queue.waiting.is_empty() {
        if queue.closed {
            return false;
        }
        queue.thread_sleeps = true;
        queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        queue.thread_sleeps = false;
    }
    std::mem::swap(&mut queue.waiting, chunk);
    let lines = std::mem::take(&mut queue.waiting_lines);
    queue.writing = Unwritten { bytes: chunk.len(), lines };
    true
}

/// As `write_all`, and calls `progress` with each number of bytes written.
fn write_chunk(
    out: &mut impl Write,
    mut chunk: &[u8],
    mut progress: impl FnMut(usize),
) -> io::Result<()> {
    while !chunk.is_empty() {
        match out.write(chunk) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                chunk = &chunk[count..];
                progress(count);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Accounts for a `part` that was written or lost, and wakes a loop that waits for that.
fn report(shared: &Shared, waker: &mio::Waker, part: &[u8], outcome: io::Result<()>) {
    let lines = count_lines(part);
    let mut queue = shared.lock();
    queue.writing.bytes -= part.len();
    queue.writing.lines -= lines;
    let mut wakes_loop = std::mem::take(&mut queue.wakes_loop);
    if let Err(error) = outcome {
        let before = queue.failure.take().map_or(0, |failure| failure.lines);
        queue.failure = Some(LogFailure { error, lines: before + lines });
        wakes_loop |= !shared.has_failed.swap(true, Ordering::Relaxed);
    }
    drop(queue);
    if wakes_loop {
        // It fails only if the loop is gone.
        let _ = waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};
    use std::sync::mpsc::{Receiver, channel};

    fn waker() -> (mio::Poll, Arc<mio::Waker>) {
        let poll = mio::Poll::new().expect("a poll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        (poll, Arc::new(waker))
    }

    fn start(out: impl Write + Send + 'static) -> (mio::Poll, LogWriter) {
        let (poll, waker) = waker();
        (poll, LogWriter::start("test-log", out, waker).expect("a thread"))
    }

    /// Offers `lines` until they are refused; how many bytes were taken.
    fn fill(log_writer: &mut LogWriter, lines: &[u8]) -> usize {
        let mut taken = 0;
        while let count @ 1.. = log_writer.offer(lines) {
            taken += count;
        }
        taken
    }

    /// Waits until every line is written or lost.
    fn finish(log_writer: &mut LogWriter) {
        while log_writer.unwritten_lines() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn accepted_lines_are_written_after_the_writer_is_dropped() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let (_poll, mut log_writer) = start(writer);
        assert_eq!(log_writer.offer(b"one\n"), 4);
        assert_eq!(log_writer.offer(b"two\n"), 4);
        drop(log_writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_stalled_reader_blocks_nobody_and_the_loop_is_woken_when_it_reads() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let (mut poll, mut log_writer) = start(writer);
        let taken = fill(&mut log_writer, &[b'\n'; 64 * 1024]);
        let mut read = vec![0; taken];
        reader.read_exact(&mut read).expect("readable");
        let mut events = mio::Events::with_capacity(1);
        while events.is_empty() {
            poll.poll(&mut events, None).expect("woken");
        }
        assert_eq!(log_writer.offer(b"y"), 1);
    }

    /// Writes nothing until the test ends.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_thread_holds_the_same_number_of_bytes_however_they_are_offered() {
        for line_bytes in [100, 64 * 1024, 1024 * 1024] {
            let (until, stuck) = channel();
            let (_poll, mut log_writer) = start(Stuck(stuck));
            let line = [vec![b'x'; line_bytes - 1], vec![b'\n']].concat();
            let taken = fill(&mut log_writer, &line);
            let least = HELD_BYTES_MAX - line_bytes.min(HELD_BYTES_MAX) + 1;
            assert!((least..=HELD_BYTES_MAX).contains(&taken), "{taken} by {line_bytes}");
            let lines = taken / line_bytes;
            assert_eq!(log_writer.unwritten_lines(), lines as u64, "by {line_bytes}");
            drop(until);
        }
    }

    #[test]
    fn what_is_taken_ends_with_a_line() {
        let long = "x".repeat(HELD_BYTES_MAX);
        for (name, lines, room, expected) in [
            ("all fit", "a\nb\n", 4, "a\nb\n"),
            ("one fits", "a\nb\n", 3, "a\n"),
            ("none fits", "aaa\nb\n", 3, ""),
            ("no room", "a\n", 0, ""),
            ("longer than all there is", &format!("{long}\n"), HELD_BYTES_MAX, &long),
        ] {
            assert_eq!(whole_lines(lines.as_bytes(), room), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_failed_write_is_reported_and_its_lines_are_counted() {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let Ok(full) = full else { return };
        let (_poll, mut log_writer) = start(full);
        for count in [1, 3] {
            for _ in 0..count {
                assert_eq!(log_writer.offer(b"x\n"), 2);
            }
            finish(&mut log_writer);
            let failure = log_writer.take_failure().expect("the device is full");
            let expected = (ErrorKind::StorageFull, count);
            assert_eq!((failure.error.kind(), failure.lines), expected);
            assert!(log_writer.take_failure().is_none(), "reported once");
        }
    }

    /// A disk with room for so many more bytes.
    struct Disk {
        written: Arc<Mutex<Vec<u8>>>,
        room: Receiver<usize>,
        left: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.left += self.room.try_iter().sum::<usize>();
            let count = bytes.len().min(self.left);
            self.left -= count;
            self.written.lock().expect("no panic").extend_from_slice(&bytes[..count]);
            if count == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_line_that_was_written_in_part_the_next_one_begins_on_a_line_of_its_own() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (more, room) = channel();
        let (_poll, mut log_writer) = start(Disk { written: Arc::clone(&written), room, left: 6 });
        assert_eq!(log_writer.offer(b"one\ntwo\n"), 8);
        finish(&mut log_writer);
        assert_eq!(log_writer.take_failure().expect("the disk was full").lines, 1);
        more.send(100).expect("the disk");
        assert_eq!(log_writer.offer(b"three\n"), 6);
        finish(&mut log_writer);
        assert_eq!(written.lock().expect("no panic").as_slice(), b"one\ntw\nthree\n");
    }
}
