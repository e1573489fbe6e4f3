//! Reads a command line by an option table: applies the options and returns the other arguments.
//! Knows every way to write an option, and no option by name.
//!
//! pico-args finds the command and a request for help anywhere; the rest is read in order here,
//! because pico-args takes options out by name and so cannot tell which words follow a `-b`, what
//! was given twice, or that `-N -R 7` lacks a value.

use super::duration;
use super::error::UsageError;
use super::option::{Opt, Take};
use super::suggest::nearest;
use super::value::{log_target, whole};
use pico_args::Arguments;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The result of reading a command line.
pub enum Scan {
    /// One screen of help.
    Summary,
    /// The whole help text.
    Help,
    /// The version.
    Version,
    /// To run, with the arguments that are not options.
    Run(Given),
}

/// What was given besides option values.
#[derive(Default)]
pub struct Given {
    /// Arguments without an option and those of [`Take::Words`] options, in the order written.
    pub arguments: Vec<Argument>,
    /// Long names of the options given.
    options: Vec<&'static str>,
}

/// An argument of the command itself.
pub struct Argument {
    /// The argument.
    pub text: String,
    /// The option it belongs to, as written; none for a positional argument.
    pub option: Option<String>,
}

impl Given {
    /// Whether the option with this long name was given.
    pub fn has(&self, long: &str) -> bool {
        self.options.contains(&long)
    }
}

/// Applies the options among `words` to `target`. `program` is the command to name in messages.
pub fn scan<T>(
    rows: &[&'static Opt<T>],
    mut words: Vec<OsString>,
    program: &'static str,
    target: &mut T,
) -> Result<Scan, UsageError> {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let plain = words.split_off(end);
    let mut before_end = Arguments::from_vec(words);
    // A request for help is answered even if the rest of the line is wrong.
    if before_end.contains("--help") {
        return Ok(Scan::Help);
    }
    if before_end.contains("-h") {
        return Ok(Scan::Summary);
    }
    if before_end.contains(["-V", "--version"]) {
        return Ok(Scan::Version);
    }
    let words = before_end.finish().into_iter().peekable();
    let mut scanner = Scanner { rows, words, program, target, given: Given::default() };
    if let Some(asked) = scanner.run()? {
        return Ok(asked);
    }
    for word in plain.into_iter().skip(1) {
        scanner.keep(word, None)?;
    }
    Ok(Scan::Run(scanner.given))
}

/// Reading in progress.
struct Scanner<'a, T: 'static> {
    rows: &'a [&'static Opt<T>],
    words: std::iter::Peekable<std::vec::IntoIter<OsString>>,
    program: &'static str,
    target: &'a mut T,
    given: Given,
}

impl<T> Scanner<'_, T> {
    fn run(&mut self) -> Result<Option<Scan>, UsageError> {
        while let Some(word) = self.words.next() {
            let asked = match word.as_bytes() {
                [b'-', b'-', ..] => self.long(&word)?,
                [b'-', _, ..] => self.shorts(&word)?,
                _ => {
                    self.keep(word, None)?;
                    None
                }
            };
            if asked.is_some() {
                return Ok(asked);
            }
        }
        Ok(None)
    }

    /// `--name` or `--name=value`.
    fn long(&mut self, word: &OsStr) -> Result<Option<Scan>, UsageError> {
        let bytes = word.as_bytes();
        let equals = bytes.iter().position(|&b| b == b'=');
        let spelled = lossy(&bytes[..equals.unwrap_or(bytes.len())]);
        let value = equals.map(|at| OsString::from_vec(bytes[at + 1..].to_vec()));
        match self.rows.iter().find(|row| row.long == &spelled[2..]) {
            Some(row) => self.apply(row, spelled, value),
            None => Err(self.unknown(spelled)),
        }
    }

    /// `-v`, `-N8`, `-N=8`, or flags and at most one option with a value in one word: `-vN8`.
    fn shorts(&mut self, word: &OsStr) -> Result<Option<Scan>, UsageError> {
        let bytes = word.as_bytes();
        let name = lossy(bytes.split(|&b| b == b'=').next().unwrap_or_default());
        if name.len() > 2 && self.rows.iter().any(|row| row.long == &name[1..]) {
            let hint = format!("did you mean -{name}?");
            return Err(UsageError::UnknownOption { spelled: name, hint });
        }
        let mut rest = &bytes[1..];
        while let [letter, tail @ ..] = rest {
            let row = self.rows.iter().find(|row| row.short == Some(char::from(*letter)));
            let Some(row) = row else {
                return Err(self.unknown(lossy(bytes)));
            };
            let spelled = format!("-{}", char::from(*letter));
            let has_equals = tail.first() == Some(&b'=');
            if row.takes_value() || has_equals {
                let value = if has_equals { &tail[1..] } else { tail };
                let value = (!tail.is_empty()).then(|| OsString::from_vec(value.to_vec()));
                return self.apply(row, spelled, value);
            }
            let asked = self.apply(row, spelled, None)?;
            if asked.is_some() {
                return Ok(asked);
            }
            rest = tail;
        }
        Ok(None)
    }

    /// Applies one option, whose value is attached or follows.
    fn apply(
        &mut self,
        row: &'static Opt<T>,
        spelled: String,
        attached: Option<OsString>,
    ) -> Result<Option<Scan>, UsageError> {
        if attached.is_some() && !row.takes_value() {
            return Err(UsageError::UnexpectedValue(spelled));
        }
        if !row.repeats() && self.given.has(row.long) {
            return Err(UsageError::RepeatedOption(row.names()));
        }
        self.given.options.push(row.long);
        let outcome = match row.take {
            // As one of several letters in one word; the others were found before.
            Take::Help => return Ok(Some(Scan::Summary)),
            Take::Version => return Ok(Some(Scan::Version)),
            Take::First { .. } => return Err(UsageError::NotFirst(spelled)),
            Take::Words { .. } => return self.words_of(row, spelled, attached).map(|()| None),
            Take::Flag { set, .. } => {
                set(self.target);
                Ok(())
            }
            Take::Optional { alone, set, .. } => match attached {
                Some(value) => set(self.target, &text(value)?),
                None => {
                    alone(self.target);
                    Ok(())
                }
            },
            Take::Path { set, .. } => file_name(self.value(row, &spelled, attached)?)
                .and_then(|path| set(self.target, path)),
            Take::Listen { set, .. } => {
                let value = text(self.value(row, &spelled, attached)?)?;
                set(self.target, &value).map_err(|error| error.to_string())
            }
            Take::Log(at) => file_name(self.value(row, &spelled, attached)?)
                .map(|path| *at(self.target) = Some(log_target(path))),
            Take::Text { set, .. }
            | Take::Choice { set, .. }
            | Take::Each { add: set, .. }
            | Take::Edit { add: set, .. } => {
                let value = text(self.value(row, &spelled, attached)?)?;
                set(self.target, &value)
            }
            Take::Duration { at, least, most } => {
                let value = text(self.value(row, &spelled, attached)?)?;
                duration::parse(&value, least, most).map(|duration| *at(self.target) = duration)
            }
            Take::Count { at, least, most } => {
                let value = text(self.value(row, &spelled, attached)?)?;
                whole(&value, least..=most).map(|count| *at(self.target) = count)
            }
        };
        outcome.map(|()| None).map_err(|reason| UsageError::BadValue { spelled, reason })
    }

    /// The words of `-b`: the attached one alone, or all up to the next option, at least one.
    fn words_of(
        &mut self,
        row: &'static Opt<T>,
        spelled: String,
        attached: Option<OsString>,
    ) -> Result<(), UsageError> {
        let is_alone = attached.is_some();
        let first = self.value(row, &spelled, attached)?;
        self.keep(first, Some(&spelled))?;
        while !is_alone && let Some(word) = self.words.next_if(|word| !is_option(word)) {
            self.keep(word, Some(&spelled))?;
        }
        Ok(())
    }

    fn value(
        &mut self,
        row: &'static Opt<T>,
        spelled: &str,
        attached: Option<OsString>,
    ) -> Result<OsString, UsageError> {
        let is_edit = matches!(row.take, Take::Edit { .. });
        let is_value = |word: &OsString| {
            !is_option(word) || is_negative(word) || (is_edit && is_removal(word))
        };
        if let Some(value) = attached.or_else(|| self.words.next_if(is_value)) {
            return Ok(value);
        }
        let follows = self.words.peek().map(|word| lossy(word.as_bytes()));
        Err(UsageError::MissingValue { spelled: spelled.to_owned(), value: row.value, follows })
    }

    fn keep(&mut self, word: OsString, option: Option<&String>) -> Result<(), UsageError> {
        self.given.arguments.push(Argument { text: text(word)?, option: option.cloned() });
        Ok(())
    }

    fn unknown(&self, spelled: String) -> UsageError {
        let name = spelled.trim_start_matches('-');
        let near = nearest(name, self.rows.iter().map(|row| row.long));
        let hint = match near {
            Some(name) => format!("did you mean --{name}?"),
            None => format!("see {} --help", self.program),
        };
        UsageError::UnknownOption { spelled, hint }
    }
}

/// Whether a word is an option and so no value; `-` alone is a value (standard output).
fn is_option(word: &OsString) -> bool {
    matches!(word.as_bytes(), [b'-', _, ..])
}

/// Whether a word is a negative number: no option, but a value that is refused with its reason.
fn is_negative(word: &OsString) -> bool {
    matches!(word.as_bytes(), [b'-', b'0'..=b'9' | b'.', ..])
}

/// Whether a word says that a field is removed (`-Name`); a single letter is an option.
fn is_removal(word: &OsString) -> bool {
    matches!(word.as_bytes(), [b'-', first, _, ..] if *first != b'-')
}

fn file_name(word: OsString) -> Result<PathBuf, String> {
    match word.is_empty() {
        true => Err("the name is empty: write a file name".to_owned()),
        false => Ok(PathBuf::from(word)),
    }
}

fn text(word: OsString) -> Result<String, UsageError> {
    word.into_string().map_err(|word| UsageError::NotUtf8(lossy(word.as_bytes())))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
