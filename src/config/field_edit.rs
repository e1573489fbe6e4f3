//! Edits of forwarded heads: `--header-up` and `--header-down`, as they are written.

use super::quote::quote;
use crate::base::token::{is_same_field, is_token_byte};
use std::fmt;

/// Most edits in one direction.
pub const EDITS_MAX: usize = 32;
/// Most bytes of the lines that they add to a head.
pub const EDIT_BYTES_MAX: usize = 4096;

/// Which heads are edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Those of requests, on their way to a server.
    Up,
    /// Those of responses, on their way to a client.
    Down,
}

/// One field that is set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldEdit {
    /// As written.
    pub name: String,
    /// None: the field is removed.
    pub value: Option<String>,
}

/// Fields that say where a message ends or what is done with the connection (RFC 9110 §7.6.1,
/// RFC 9112 §6): this program writes them itself.
const OURS: [&str; 11] = [
    "close",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FieldEdit {
    /// Reads `Name: value` or `-Name`.
    ///
    /// Errors: what is wrong with it, with a hint.
    pub fn parse(text: &str, heads: Heads) -> Result<FieldEdit, String> {
        let edit = match (text.strip_prefix('-'), text.split_once(':')) {
            (Some(name), _) => FieldEdit { name: name.to_owned(), value: None },
            (None, Some((name, value))) => {
                FieldEdit { name: name.to_owned(), value: Some(value.trim_matches(' ').to_owned()) }
            }
            (None, None) => return Err(no_edit(text)),
        };
        if edit.name.is_empty() || !edit.name.bytes().all(is_token_byte) {
            return Err(no_edit(text));
        }
        match edit.refusal(heads) {
            Some(reason) => Err(format!("{} {reason}", quote(text))),
            None => Ok(edit),
        }
    }

    fn refusal(&self, heads: Heads) -> Option<&'static str> {
        let is = |name: &str| is_same_field(self.name.as_bytes(), name.as_bytes());
        if OURS.into_iter().any(is) {
            return Some(
                "is a field of the connection or the framing, which this program writes: leave it out",
            );
        }
        match (heads, &self.value) {
            (Heads::Up, _) if is("via") => Some("is how loops are found: leave Via as it is"),
            (Heads::Up, None) if is("host") => {
                Some("is needed in every request: set it, as in 'Host: www.example.org'")
            }
            (Heads::Down, _) if is("date") => Some("is in every response: leave Date as it is"),
            (_, Some(value)) if value.is_empty() => {
                Some("has no value: to remove the field write -Name")
            }
            (_, Some(value)) if value.chars().any(char::is_control) => {
                Some("has a control character in its value, which HTTP does not allow")
            }
            (Heads::Up | Heads::Down, Some(_) | None) => None,
        }
    }

    /// Adds the edit that `text` is to `edits`.
    ///
    /// Errors: as for [`FieldEdit::parse`], two edits of one field, too many.
    pub fn add(text: &str, heads: Heads, edits: &mut Vec<FieldEdit>) -> Result<(), String> {
        let edit = FieldEdit::parse(text, heads)?;
        let is_same =
            |other: &FieldEdit| is_same_field(other.name.as_bytes(), edit.name.as_bytes());
        if edits.iter().any(is_same) {
            return Err(format!("{} is edited twice: keep one", quote(&edit.name)));
        }
        let bytes: usize = edits.iter().chain([&edit]).map(FieldEdit::line_bytes).sum();
        if edits.len() == EDITS_MAX || bytes > EDIT_BYTES_MAX {
            return Err(format!(
                "{} is too much: at most {EDITS_MAX} fields with {EDIT_BYTES_MAX} bytes in all",
                quote(text)
            ));
        }
        edits.push(edit);
        Ok(())
    }

    /// Bytes of the line that it adds.
    fn line_bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| self.name.len() + value.len() + ": \r\n".len())
    }
}

impl fmt::Display for FieldEdit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(out, "{}: {value}", self.name),
            None => write!(out, "-{}", self.name),
        }
    }
}

fn no_edit(text: &str) -> String {
    format!("{} is no edit: write 'Name: value' to set a field, -Name to remove it", quote(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_set_or_removed() {
        for (text, name, value) in [
            ("X-A: b c", "X-A", Some("b c")),
            ("X-A:b", "X-A", Some("b")),
            ("X-A:  b: c ", "X-A", Some("b: c")),
            ("x_a: é", "x_a", Some("é")),
            ("-X-A", "X-A", None),
            ("Host: www.example.org", "Host", Some("www.example.org")),
            ("X-Forwarded-Proto: https", "X-Forwarded-Proto", Some("https")),
        ] {
            let edit = FieldEdit::parse(text, Heads::Up).expect(text);
            assert_eq!((edit.name.as_str(), edit.value.as_deref()), (name, value), "{text}");
            let again = FieldEdit::parse(&edit.to_string(), Heads::Up);
            assert_eq!(again.as_ref(), Ok(&edit), "{text}");
        }
    }

    #[test]
    fn what_is_no_edit_or_must_stay_is_refused() {
        let form = "is no edit: write 'Name: value' to set a field, -Name to remove it";
        for text in ["", "-", ":", "X-A", "X A: b", ": b", "-X A", "-X:", "é: b", "X\r\n: b"] {
            for heads in [Heads::Up, Heads::Down] {
                let expected = format!("{} {form}", quote(text));
                assert_eq!(FieldEdit::parse(text, heads), Err(expected));
            }
        }
        let framing =
            "is a field of the connection or the framing, which this program writes: leave it out";
        let date = "is in every response: leave Date as it is";
        let value = "has a control character in its value, which HTTP does not allow";
        for (text, heads, reason) in [
            ("Content-Length: 3", Heads::Up, framing),
            ("content_length: 3", Heads::Up, framing),
            ("-Transfer-Encoding", Heads::Down, framing),
            ("Connection: close", Heads::Down, framing),
            ("-TE", Heads::Up, framing),
            ("-Via", Heads::Up, "is how loops are found: leave Via as it is"),
            (
                "-Host",
                Heads::Up,
                "is needed in every request: set it, as in 'Host: www.example.org'",
            ),
            ("-Date", Heads::Down, date),
            ("X-A:", Heads::Up, "has no value: to remove the field write -Name"),
            ("X-A: b\r\nX-B: c", Heads::Up, value),
            ("X-A: b\0", Heads::Down, value),
            ("X-A: b\tc", Heads::Down, value),
            ("X-A: \u{85}", Heads::Down, value),
        ] {
            let expected = format!("{} {reason}", quote(text));
            assert_eq!(FieldEdit::parse(text, heads), Err(expected));
        }
        for (text, heads) in [("-Via", Heads::Down), ("-Date", Heads::Up), ("-Host", Heads::Down)] {
            assert!(FieldEdit::parse(text, heads).is_ok(), "{text}");
        }
    }

    #[test]
    fn edits_are_limited_and_no_field_is_edited_twice() {
        let mut edits = Vec::new();
        for number in 0..EDITS_MAX {
            FieldEdit::add(&format!("-X-{number}"), Heads::Up, &mut edits).expect("within limits");
        }
        let most = "at most 32 fields with 4096 bytes in all";
        let past = FieldEdit::add("-X-Y", Heads::Up, &mut edits);
        assert_eq!(past, Err(format!("`-X-Y` is too much: {most}")));
        let twice = FieldEdit::add("x_3: a", Heads::Up, &mut edits);
        assert_eq!(twice, Err("`x_3` is edited twice: keep one".to_owned()));
        let mut edits = Vec::new();
        let value = "a".repeat(EDIT_BYTES_MAX - "X: \r\n".len());
        assert!(FieldEdit::add(&format!("X: {value}a"), Heads::Up, &mut edits).is_err());
        assert!(FieldEdit::add(&format!("X: {value}"), Heads::Up, &mut edits).is_ok());
        assert!(FieldEdit::add("-Y", Heads::Up, &mut edits).is_ok(), "it adds no byte");
        assert!(FieldEdit::add("Z: a", Heads::Up, &mut edits).is_err());
    }
}
