//! An event line: text for people, or one JSON object (`--events json`).

use super::event_time::EventTime;
use std::fmt::{self, Write};

/// How event lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As text, which begins with this.
    Text(EventTime),
    /// As JSON, with the time in milliseconds since 1970.
    Json(u64),
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The program.
    Program,
    BackendUp(&'a str),
    BackendDown(&'a str),
}

/// One line, without its end.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub style: Style,
    pub subject: Subject<'a>,
    pub text: fmt::Arguments<'a>,
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix_ms = match self.style {
            Style::Text(time) => return write!(out, "{time}loadbalancer: {}", self.text),
            Style::Json(unix_ms) => unix_ms,
        };
        let (name, backend) = match self.subject {
            Subject::Program => ("message", None),
            Subject::BackendUp(backend) => ("backend_up", Some(backend)),
            Subject::BackendDown(backend) => ("backend_down", Some(backend)),
        };
        let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
        write!(out, "{{\"event\":\"{name}\",\"time\":{seconds}.{ms:03}")?;
        if let Some(backend) = backend {
            out.write_str(",\"backend\":\"")?;
            Escaped(out).write_str(backend)?;
            out.write_str("\"")?;
        }
        out.write_str(",\"message\":\"")?;
        write!(Escaped(out), "{}", self.text)?;
        out.write_str("\"}")
    }
}

/// Text within a JSON string (RFC 8259 §7).
struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '"' | '\\' => write!(self.0, "\\{char}")?,
                char if char.is_control() => write!(self.0, "\\u{:04x}", u32::from(char))?,
                char => self.0.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_of_text_or_an_object() {
        let down = Subject::BackendDown("a:80");
        for (style, subject, expected) in [
            (Style::Text(EventTime(None)), down, "loadbalancer: the \"ü\"\\\n\u{7f}"),
            (
                Style::Json(784_111_777_004),
                down,
                r#"{"event":"backend_down","time":784111777.004,"backend":"a:80","message":"the \"ü\"\\\u000a\u007f"}"#,
            ),
            (
                Style::Json(0),
                Subject::Program,
                r#"{"event":"message","time":0.000,"message":"the \"ü\"\\\u000a\u007f"}"#,
            ),
        ] {
            let line = Event { style, subject, text: format_args!("the \"ü\"\\\n\u{7f}") };
            assert_eq!(line.to_string(), expected);
        }
    }
}
