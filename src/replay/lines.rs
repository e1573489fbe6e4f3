//! A record line by line, with the number of each for messages.

use crate::balance::record::{Line, Parser, VERSION_LINE};
use crate::base::reason::reason;
use std::fmt;
use std::io::{BufRead, ErrorKind, Read};

/// Longest line of a record: a request that was tried at every backend.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What is wrong with a record, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: u64,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.text)
    }
}

/// Lines that were not read yet.
pub struct Lines<R> {
    input: R,
    bytes: Vec<u8>,
    parser: Parser,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines after the first, which says what this is.
    ///
    /// Errors: it is not a record, or one of another version.
    pub fn of(input: R) -> Result<Lines<R>, Problem> {
        let mut lines = Lines { input, bytes: Vec::new(), parser: Parser::default(), number: 0 };
        if !lines.read()? {
            return Err(lines.problem("the record is empty"));
        }
        let name = VERSION_LINE.split(' ').next().unwrap_or_default();
        match lines.text()? {
            VERSION_LINE => Ok(lines),
            text if text.starts_with(name) => {
                let text: String = text.chars().take(60).collect();
                Err(lines.problem(format!(
                    "expected `{VERSION_LINE}`, got `{}`: it is of another version of this program",
                    text.escape_debug()
                )))
            }
            _ => Err(lines.problem(format!("expected `{VERSION_LINE}`: this is no record"))),
        }
    }

    /// The next line; none at the end.
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Problem> {
        if !self.read()? {
            return Ok(None);
        }
        let line = self.number;
        let wrong = |text| Problem { line, text };
        let text = text_of(&self.bytes).map_err(wrong)?;
        self.parser.line(text).map(Some).map_err(wrong)
    }

    /// Something is wrong with the line that was read last, or with the end after it.
    pub fn problem(&self, text: impl Into<String>) -> Problem {
        Problem { line: self.number.max(1), text: text.into() }
    }

    fn text(&self) -> Result<&str, Problem> {
        text_of(&self.bytes).map_err(|text| self.problem(text))
    }

    /// Reads a line; false at the end.
    fn read(&mut self) -> Result<bool, Problem> {
        self.bytes.clear();
        let mut part = self.input.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        let outcome = part.read_until(b'\n', &mut self.bytes);
        match outcome {
            Ok(0) => return Ok(false),
            Ok(_) => self.number += 1,
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                return Err(self.problem("this is a directory"));
            }
            Err(error) => return Err(self.problem(format!("cannot read on: {}", reason(&error)))),
        }
        match self.bytes.pop() {
            Some(b'\n') => Ok(true),
            _ if self.bytes.len() == LINE_BYTES_MAX => {
                Err(self.problem(format!("expected at most {LINE_BYTES_MAX} bytes on a line")))
            }
            _ => Err(self.problem("the record is cut off within this line")),
        }
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, String> {
    str::from_utf8(bytes).map_err(|error| {
        format!("expected text, byte {} of the line is not", error.valid_up_to() + 1)
    })
}
