//! One line from the other end of a control connection, bounded.

/// Longest line with its end, in bytes.
pub const LINE_BYTES_MAX: usize = 4096;

/// What the bytes that have come begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The line without its end, and how many bytes it has with it.
    Whole(&'a str, usize),
    /// Its end is still to come.
    Partial,
    /// It has more than [`LINE_BYTES_MAX`].
    TooLong,
    /// It has bytes that are no printable ASCII.
    NotText,
}

/// Reads the line that `bytes` begin with; its end is LF or CR LF.
pub fn line(bytes: &[u8]) -> Line<'_> {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < LINE_BYTES_MAX { Line::Partial } else { Line::TooLong };
    };
    let text = within[..end].strip_suffix(b"\r").unwrap_or(&within[..end]);
    let is_text = text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    match std::str::from_utf8(text) {
        Ok(text) if is_text => Line::Whole(text, end + 1),
        Ok(_) | Err(_) => Line::NotText,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_once_its_end_has_come() {
        let bytes = b"drain 10.0.0.1:80\r\nmore";
        for end in 0..=bytes.len() {
            let expected = match end {
                0..=18 => Line::Partial,
                _ => Line::Whole("drain 10.0.0.1:80", 19),
            };
            assert_eq!(line(&bytes[..end]), expected, "{end} bytes");
        }
    }

    #[test]
    fn a_line_is_bounded() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(line(&bytes), Line::TooLong);
        assert_eq!(line(&bytes[1..]), Line::Partial);
        bytes[LINE_BYTES_MAX - 1] = b'\n';
        assert!(matches!(line(&bytes), Line::Whole(_, LINE_BYTES_MAX)));
        bytes.insert(0, b'x');
        assert_eq!(line(&bytes), Line::TooLong, "one past the limit");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (name, bytes) in [
            ("zero", &b"a\0b\n"[..]),
            ("escape", b"\x1b[2J\n"),
            ("not UTF-8", b"\xff\n"),
            ("not ASCII", "é\n".as_bytes()),
            ("tab", b"a\tb\n"),
        ] {
            assert_eq!(line(bytes), Line::NotText, "{name}");
        }
        assert_eq!(line(b"\n"), Line::Whole("", 1));
    }
}
