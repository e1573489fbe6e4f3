//! Texts with escapes: `\r \n \t \\ \xHH`.

use crate::config::quote;
use crate::health::dialogue::TEXT_BYTES_MAX;

/// The bytes that `text` stands for, at least one and [`TEXT_BYTES_MAX`] at most.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (value, used) = match rest {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                (_, _) => return Err(no_escape(text)),
            },
            _ => return Err(no_escape(text)),
        };
        bytes.push(value);
        rest = &rest[used..];
    }
    match bytes.len() {
        1..=TEXT_BYTES_MAX => Ok(bytes),
        0 => Err("the text is empty: write at least one character".to_owned()),
        count => Err(format!("the text has {count} bytes, {TEXT_BYTES_MAX} are allowed")),
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| digit.try_into().ok())
}

fn no_escape(text: &str) -> String {
    format!("{} has a \\ that begins no escape: write \\r, \\n, \\t, \\\\ or \\xHH", quote(text))
}

/// The text that stands for `bytes`.
pub fn shown(bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_shown_again() {
        for (text, expected, again) in [
            ("PING\\r\\n", &b"PING\r\n"[..], "PING\\r\\n"),
            ("a b\\t\\\\", b"a b\t\\", "a b\\t\\\\"),
            ("\\x00\\xfF\\x41", b"\0\xFFA", "\\x00\\xffA"),
            ("é", "é".as_bytes(), "\\xc3\\xa9"),
        ] {
            let read = bytes(text).expect(text);
            assert_eq!(read, expected, "{text}");
            assert_eq!(shown(&read), again, "{text}");
            assert_eq!(bytes(again).as_deref(), Ok(expected), "{again}");
        }
        assert!(bytes(&"x".repeat(TEXT_BYTES_MAX)).is_ok());
    }

    #[test]
    fn what_is_no_escape_is_refused() {
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "a\\0"] {
            assert!(bytes(text).expect_err(text).contains("begins no escape"), "{text}");
        }
        assert!(bytes("").expect_err("empty").contains("is empty"));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(bytes(&long).expect_err("long").contains("1025 bytes, 1024 are allowed"));
    }
}
