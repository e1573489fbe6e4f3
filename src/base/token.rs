//! The characters of tokens, of which field names and methods are made (RFC 9110 §5.6.2).

/// Whether `byte` is allowed in a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
