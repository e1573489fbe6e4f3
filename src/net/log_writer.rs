//! Writing log lines without ever stopping the loop: a disk that is slow or a reader that sleeps
//! blocks a thread of its own. What it cannot follow stays with the loop, which has its limit.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Pieces with the thread, the one it writes included.
const PIECES_MAX: usize = 16;

/// Most bytes of a piece: what one turn had to say is mostly far less.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// How long the end of the program waits for lines to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// The loop's side.
#[derive(Debug)]
pub struct LogWriter {
    /// None only while it is being dropped.
    pieces: Option<SyncSender<Vec<u8>>>,
    /// Written pieces come back to be filled again.
    spare: Receiver<Vec<u8>>,
    /// A piece was not taken: the loop is to be woken when there is room.
    refused: Arc<AtomicBool>,
    /// Disconnected once the last piece was written.
    done: Receiver<()>,
    /// Writes that failed, and why.
    failures: Receiver<std::io::Error>,
}

impl LogWriter {
    /// Starts a thread that writes to `out`; `waker` wakes the loop that has lines left.
    ///
    /// Errors: the system has no thread to give.
    pub fn start(
        mut out: impl Write + Send + 'static,
        waker: Arc<mio::Waker>,
    ) -> std::io::Result<LogWriter> {
        let (pieces, inbox) = sync_channel::<Vec<u8>>(PIECES_MAX - 1);
        let (back, spare) = channel();
        let (finished, done) = channel::<()>();
        let (failing, failures) = sync_channel(1);
        let refused = Arc::new(AtomicBool::new(false));
        let was_refused = Arc::clone(&refused);
        std::thread::Builder::new().name(String::from("log")).spawn(move || {
            write_all(&mut out, &inbox, &back, |outcome| {
                // One is enough to tell.
                let _ = outcome.map_err(|error| failing.try_send(error));
                if was_refused.swap(false, Ordering::SeqCst) {
                    let _ = waker.wake();
                }
            });
            drop(finished);
        })?;
        Ok(LogWriter { pieces: Some(pieces), spare, refused, done, failures })
    }

    /// Takes as many of `lines` as make a piece, or nothing: how many bytes.
    ///
    /// Errors: what an earlier write failed with, told once; the lines then were not taken.
    pub fn offer(&mut self, lines: &[u8]) -> std::io::Result<usize> {
        if let Ok(error) = self.failures.try_recv() {
            return Err(error);
        }
        // The thread has pieces left to write, after any of which it takes this back: to copy
        // lines only to be refused again is not worth a try before that.
        if self.refused.load(Ordering::SeqCst) {
            return Ok(0);
        }
        let Some(pieces) = &self.pieces else { return Ok(0) };
        let new = || Vec::with_capacity(PIECE_BYTES_MAX);
        let mut piece = self.spare.try_recv().unwrap_or_else(|_| new());
        let count = whole_lines(lines);
        piece.extend_from_slice(&lines[..count]);
        // Said before it is tried: a room that comes in between must not be missed.
        self.refused.store(true, Ordering::SeqCst);
        match pieces.try_send(piece) {
            Ok(()) => {
                self.refused.store(false, Ordering::SeqCst);
                Ok(count)
            }
            Err(_) => Ok(0),
        }
    }
}

impl Drop for LogWriter {
    /// Lets the last lines be written, but not for ever.
    fn drop(&mut self) {
        self.pieces = None;
        let _ = self.done.recv_timeout(FAREWELL);
    }
}

/// How many bytes of `lines` make a piece: a line is not torn apart, as the file may be another one
/// for the next piece; unless it alone is too long.
fn whole_lines(lines: &[u8]) -> usize {
    if lines.len() <= PIECE_BYTES_MAX {
        return lines.len();
    }
    let last = lines[..PIECE_BYTES_MAX].iter().rposition(|&byte| byte == b'\n');
    last.map_or(PIECE_BYTES_MAX, |last| last + 1)
}

fn write_all(
    out: &mut impl Write,
    inbox: &Receiver<Vec<u8>>,
    back: &Sender<Vec<u8>>,
    written: impl Fn(std::io::Result<()>),
) {
    while let Ok(mut piece) = inbox.recv() {
        let outcome = out.write_all(&piece);
        piece.clear();
        let _ = back.send(piece);
        written(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};

    fn waker() -> (mio::Poll, Arc<mio::Waker>) {
        let poll = mio::Poll::new().expect("a poll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        (poll, Arc::new(waker))
    }

    #[test]
    fn what_was_taken_is_written_before_it_is_dropped() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let (_poll, waker) = waker();
        let mut log_writer = LogWriter::start(writer, waker).expect("a thread");
        assert_eq!(log_writer.offer(b"one\n").expect("no failure"), 4);
        assert_eq!(log_writer.offer(b"two\n").expect("no failure"), 4);
        drop(log_writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_reader_that_sleeps_stops_nobody_and_the_loop_is_woken_when_it_reads() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let (mut poll, waker) = waker();
        let mut log_writer = LogWriter::start(writer, waker).expect("a thread");
        let lines = vec![b'x'; 64 * 1024];
        let mut taken = 0;
        while let count @ 1.. = log_writer.offer(&lines).expect("no failure") {
            taken += count;
        }
        let mut read = vec![0; taken];
        reader.read_exact(&mut read).expect("readable");
        let mut events = mio::Events::with_capacity(1);
        while events.is_empty() {
            poll.poll(&mut events, None).expect("woken");
        }
        assert_eq!(log_writer.offer(b"y").expect("no failure"), 1);
    }

    /// Writes nothing until the test ends.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_with_the_thread_has_its_limit_however_much_is_offered() {
        let (until, stuck) = channel();
        let (_poll, waker) = waker();
        let mut log_writer = LogWriter::start(Stuck(stuck), waker).expect("a thread");
        let lines = vec![b'\n'; 1024 * 1024];
        let mut taken = 0;
        while let count @ 1.. = log_writer.offer(&lines).expect("no failure") {
            taken += count;
        }
        let most = PIECES_MAX * PIECE_BYTES_MAX;
        // Whether the thread has begun to write decides on the last piece.
        assert!((most - PIECE_BYTES_MAX..=most).contains(&taken), "{taken} of {most}");
        drop(until);
    }

    #[test]
    fn a_piece_ends_with_a_line() {
        let (half, long) = ("x".repeat(PIECE_BYTES_MAX / 2), "x".repeat(PIECE_BYTES_MAX));
        for (name, lines, count) in [
            ("few", String::from("a\nb\n"), 4),
            ("just fits", format!("{}\n", &long[1..]), PIECE_BYTES_MAX),
            ("two are too many", format!("{half}\n{half}\n"), half.len() + 1),
            ("one is too long", format!("{long}\n"), PIECE_BYTES_MAX),
        ] {
            assert_eq!(whole_lines(lines.as_bytes()), count, "{name}");
        }
    }

    #[test]
    fn a_write_that_fails_is_told() {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let Ok(full) = full else { return };
        let (_poll, waker) = waker();
        let mut log_writer = LogWriter::start(full, waker).expect("a thread");
        while log_writer.offer(b"x").is_ok() {
            std::thread::yield_now();
        }
    }
}
