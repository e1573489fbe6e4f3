//! The characters of tokens, of which field names and methods are made (RFC 9110 §5.6.2), and when
//! two field names are the same.

/// Whether `byte` is allowed in a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether two field names are the same to a server that passes fields as CGI variables, which have
/// no case and `_` for `-` (RFC 3875 §4.1.18).
pub fn is_same_field(one: &[u8], other: &[u8]) -> bool {
    let plain = |&byte: &u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.iter().map(plain).eq(other.iter().map(plain))
}
