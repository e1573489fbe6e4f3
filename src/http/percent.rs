//! Percent-encoding (RFC 3986 §2.1). Independent of the part of a URL that the text is.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `text` with each `%XX` replaced by its byte; none when a `%` is not followed by two hex digits.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (&[high, low], after) = rest.split_first_chunk::<2>()?;
        decoded.push(digit(high)? << 4 | digit(low)?);
        rest = after;
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|value| value as u8)
}

/// `text` with each byte that is not `kept` as `%XX`. Bytes outside ASCII are always encoded.
pub fn encode(text: &[u8], kept: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii() && kept(byte) {
            encoded.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|half| char::from(HEX[usize::from(half)]));
            encoded.push('%');
            encoded.extend(digits);
        }
    }
    encoded
}

/// Whether `byte` needs no encoding anywhere in a URL (RFC 3986 §2.3).
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_replaces_whole_triplets_only() {
        let table: [(&str, Option<&[u8]>); 8] = [
            ("", Some(b"")),
            ("a+b", Some(b"a+b")),
            ("%41%7e%7E", Some(b"A~~")),
            ("%00%ff", Some(b"\0\xff")),
            ("%252e", Some(b"%2e")),
            ("%", None),
            ("%4", None),
            ("%+1", None),
        ];
        for (text, expected) in table {
            assert_eq!(decode(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn encoding_is_undone_by_decoding_for_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let encoded = encode(&all, is_unreserved);
        assert!(encoded.bytes().all(|byte| byte == b'%' || is_unreserved(byte)));
        assert_eq!(decode(encoded.as_bytes()), Some(all));
    }
}
