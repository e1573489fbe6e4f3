//! Edits of a head that was written for the next hop: fields are removed and lines are added. Works
//! on the written head, so that it is the same for what was received and for what was added here.

use super::writer::Overflow;
use crate::base::token::is_same_field;

/// The line end of a written head.
const CRLF: &[u8] = b"\r\n";

/// Fields to remove from every head, and lines to add to it.
#[derive(Clone, Debug, Default)]
pub struct FieldEdits {
    names: Vec<String>,
    /// `Name: value` with CRLF, one after the other.
    lines: Vec<u8>,
}

impl FieldEdits {
    /// Sets a field: what a head has of that name is replaced.
    pub fn set(&mut self, name: &str, value: &str) {
        self.names.push(name.to_owned());
        self.lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    fn names(&self, name: &[u8]) -> bool {
        self.names.iter().any(|edited| is_same_field(edited.as_bytes(), name))
    }

    /// Edits the head of `length` bytes at the start of `out`; returns its new length.
    ///
    /// Errors: it does not fit into `out`.
    pub fn apply(&self, out: &mut [u8], length: usize) -> Result<usize, Overflow> {
        let end = self.strip(out, length) - CRLF.len();
        let lines_end = end + self.lines.len();
        out.get_mut(end..lines_end).ok_or(Overflow)?.copy_from_slice(&self.lines);
        out.get_mut(lines_end..lines_end + CRLF.len()).ok_or(Overflow)?.copy_from_slice(CRLF);
        Ok(lines_end + CRLF.len())
    }

    /// Removes the edited fields and adds none: for an interim response, which another one follows.
    pub fn strip(&self, out: &mut [u8], length: usize) -> usize {
        let (mut from, mut to) = (line_bytes(&out[..length]), line_bytes(&out[..length]));
        while from < length {
            let bytes = line_bytes(&out[from..length]);
            let line = &out[from..from + bytes];
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            if !self.names(name) {
                out.copy_within(from..from + bytes, to);
                to += bytes;
            }
            from += bytes;
        }
        to
    }
}

/// The length of the first line of `head`, its end included. All of it where none ends.
fn line_bytes(head: &[u8]) -> usize {
    head.iter().position(|&byte| byte == b'\n').map_or(head.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits() -> FieldEdits {
        let mut edits = FieldEdits::default();
        edits.set("X-A", "new");
        edits.remove("X-Gone");
        edits
    }

    fn applied(head: &str, room: usize) -> Result<String, Overflow> {
        let mut out = head.as_bytes().to_vec();
        out.resize(room, 0);
        let length = edits().apply(&mut out, head.len())?;
        Ok(String::from_utf8_lossy(&out[..length]).into_owned())
    }

    #[test]
    fn a_set_field_is_replaced_and_a_removed_one_is_gone() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nX-A: new\r\n\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nX-A: old\r\nx_a: older\r\nX-AB: c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nX-AB: c\r\nX-A: new\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nx-gone: 1\r\nA: X-Gone: 2\r\nX_GONE: 3\r\n\r\n",
                "HTTP/1.1 200 OK\r\nA: X-Gone: 2\r\nX-A: new\r\n\r\n",
            ),
            ("X-Gone: HTTP/1.1\r\n\r\n", "X-Gone: HTTP/1.1\r\nX-A: new\r\n\r\n"),
        ] {
            assert_eq!(applied(head, 256).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn an_interim_head_loses_fields_and_gets_none() {
        let mut out = b"HTTP/1.1 103 x\r\nX-A: 1\r\nLink: y\r\nX-Gone: 2\r\n\r\n".to_vec();
        let length = out.len();
        let length = edits().strip(&mut out, length);
        assert_eq!(&out[..length], b"HTTP/1.1 103 x\r\nLink: y\r\n\r\n");
    }

    #[test]
    fn what_does_not_fit_is_an_overflow() {
        let head = "GET / HTTP/1.1\r\n\r\n";
        let room = head.len() + "X-A: new\r\n".len();
        assert!(applied(head, room).is_ok());
        assert_eq!(applied(head, room - 1), Err(Overflow));
        assert_eq!(applied(head, head.len()), Err(Overflow));
    }
}
