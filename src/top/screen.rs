//! The terminal while the table is shown: a screen of its own, which is left and restored however
//! the program ends.

use super::failure::Failure;
use super::picture::{self, Line, Tone};
use super::snapshot::Snapshot;
use crate::base::figures::span;
use crate::net::stop::clean_up_on_stop;
use crate::net::terminal::{self, Keys, Size};
use std::env;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// To the alternate screen, without a cursor and without breaking long lines.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";

/// And back.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A frame begins in the top left corner.
const HOME: &str = "\x1b[H";

/// Before the text of a line: after it, the last character of a full line would be cleared.
const CLEAR_LINE: &str = "\x1b[K";

/// For a terminal that does not say how large it is.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// A second size is looked at after this time, so that a window may be resized.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The screen; a signal that ends the program restores the terminal first.
#[derive(Debug)]
pub struct Screen {
    /// None where standard input is no terminal: then only a signal ends the program.
    keys: Option<Keys>,
    has_colors: bool,
    /// Held while something is written, so that nothing is written after the end.
    place: Arc<Mutex<Place>>,
}

/// Where the terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// As it was, without a frame so far.
    Main,
    /// On the alternate screen.
    Alternate,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The key that ends the program, or the terminal is gone.
    Quit,
    /// The window has another size.
    Resized,
    Time,
}

impl Screen {
    /// Takes over the keys of the terminal; its alternate screen with the first frame.
    pub fn open() -> io::Result<Screen> {
        let keys = Keys::new(&io::stdin()).ok();
        let place = Arc::new(Mutex::new(Place::Main));
        let screen = Screen { keys, has_colors: has_colors(), place };
        let (keys, place) = (screen.keys.clone(), Arc::clone(&screen.place));
        let outcome = clean_up_on_stop(move || {
            let place = lock(&place);
            let _ = leave(*place, keys.as_ref());
            // Never given back: a frame in the making must not follow.
            std::mem::forget(place);
        });
        match outcome {
            Ok(()) => Ok(screen),
            Err(error) => {
                let _ = leave(Place::Main, screen.keys.as_ref());
                Err(error)
            }
        }
    }

    /// Shows `snapshot`; `missing` is for how long the balancer has not answered, and why.
    pub fn draw(
        &self,
        snapshot: &Snapshot,
        missing: Option<(Duration, &Failure)>,
    ) -> io::Result<()> {
        let size = terminal::size(&io::stdout()).unwrap_or(USUAL);
        let mut frame = frame(snapshot, missing, size, self.has_colors);
        frame.insert_str(0, HOME);
        let mut place = lock(&self.place);
        if *place == Place::Main {
            frame.insert_str(0, ENTER);
            *place = Place::Alternate;
        }
        write(&frame)
    }

    /// Waits for a key that ends the program, or for a window of another size.
    pub fn wait(&self, time: Duration) -> Woken {
        let size = terminal::size(&io::stdout());
        let due = Instant::now() + time;
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            let pause = left.min(LOOK_AGAIN);
            match self.keys.as_ref().map(|keys| keys.wait(pause)) {
                // The terminal is gone, or nobody can press a key any more.
                Some(Ok(Some(b'q' | b'Q')) | Err(_)) => return Woken::Quit,
                Some(Ok(_)) => {}
                None => thread::sleep(pause),
            }
            if terminal::size(&io::stdout()) != size {
                return Woken::Resized;
            }
        }
        Woken::Time
    }

    /// Gives the terminal back.
    pub fn close(self) -> io::Result<()> {
        leave(*lock(&self.place), self.keys.as_ref())
    }
}

/// The lines of a frame, without what comes before and after.
fn frame(
    snapshot: &Snapshot,
    missing: Option<(Duration, &Failure)>,
    size: Size,
    has_colors: bool,
) -> String {
    let last = match missing {
        None => Line { tone: Tone::Note, text: "q ends".to_owned() },
        Some((since, failure)) => {
            let since = span(Some(since.as_secs_f64()));
            Line { tone: Tone::Down, text: format!("no answer for {since}: {failure}") }
        }
    };
    let last = Line { text: last.text.chars().take(size.columns).collect(), ..last };
    let mut lines = picture::draw(snapshot, size.columns, Some(size.rows.saturating_sub(1)));
    lines.resize(size.rows.saturating_sub(1), Line { tone: Tone::Plain, text: String::new() });
    lines.push(last);
    let lines: Vec<String> = lines
        .iter()
        .map(|Line { tone, text }| match color(*tone).filter(|_| has_colors) {
            Some(color) => format!("{CLEAR_LINE}\x1b[{color}m{text}\x1b[0m"),
            None => format!("{CLEAR_LINE}{text}"),
        })
        .collect();
    lines.join("\r\n")
}

/// The parameter of the escape sequence SGR (ECMA-48 §8.3.117).
fn color(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Head => Some("1"),
        Tone::Down => Some("31"),
        Tone::Trouble => Some("33"),
        Tone::Note => Some("2"),
    }
}

/// Whether colours are wanted (no-color.org).
fn has_colors() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

fn leave(place: Place, keys: Option<&Keys>) -> io::Result<()> {
    let outcome = match place {
        Place::Main => Ok(()),
        Place::Alternate => write(LEAVE),
    };
    if let Some(keys) = keys {
        keys.restore();
    }
    outcome
}

fn write(text: &str) -> io::Result<()> {
    let mut output = io::stdout();
    output.write_all(text.as_bytes())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    const STATUS: &str = "loadbalancer 0.1.0 status 1\nready_reason 1 of 2 servers up\n\n\
        name state reason\nh:1 up -\nh:2 down refused\n";

    fn shown(size: Size, has_colors: bool, missing: Option<Duration>) -> String {
        let snapshot = Snapshot::read(STATUS).expect("a status");
        let admin = HostPort::on("h", 1);
        let failure = Failure::NotAdmin(admin);
        frame(&snapshot, missing.map(|since| (since, &failure)), size, has_colors)
    }

    #[test]
    fn a_frame_has_a_line_for_each_row_of_the_terminal() {
        for rows in 1..40 {
            let frame = shown(Size { columns: 60, rows }, true, None);
            assert_eq!(frame.split("\r\n").count(), rows);
            assert!(frame.split("\r\n").all(|line| line.starts_with(CLEAR_LINE)), "{frame:?}");
            assert!(frame.contains("q ends"), "{rows}");
        }
    }

    #[test]
    fn colors_are_beside_words_and_can_be_left_out() {
        let size = Size { columns: 100, rows: 10 };
        let colored = shown(size, true, None);
        let row = colored.split("\r\n").find(|line| line.contains("h:2")).expect("a row");
        assert!(row.starts_with("\x1b[K\x1b[31mh:2") && row.ends_with("\x1b[0m"), "{row:?}");
        assert!(row.contains("down"), "{row:?}");
        let plain = shown(size, false, None);
        assert_eq!(plain.matches('\x1b').count(), plain.matches(CLEAR_LINE).count());
    }

    #[test]
    fn a_balancer_that_does_not_answer_is_named_in_the_last_line() {
        let missing = Some(Duration::from_secs(75));
        let frame = shown(Size { columns: 40, rows: 10 }, false, missing);
        let last = frame.rsplit("\r\n").next().expect("a line");
        assert_eq!(last, "\x1b[Kno answer for 1m 15s: h:1 is not the adm");
    }
}
