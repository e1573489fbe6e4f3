//! Which requests ask for the file by which a client of ACME, such as certbot, shows that it controls
//! a name (RFC 8555 §8.3, `http-01`).

/// Where the files are, in the directory of `--acme-webroot` as in the target.
pub const FOLDER: &str = ".well-known/acme-challenge";

/// Longest token, in bytes; those of Let's Encrypt have 43.
pub const TOKEN_BYTES_MAX: usize = 128;

/// The token that a target asks for. It is the name of a file: base64url (RFC 8555 §8.3) has
/// neither dots nor slashes, so that it can lead nowhere else.
pub fn token(target: &[u8]) -> Option<&str> {
    let token = target.strip_prefix(b"/")?.strip_prefix(FOLDER.as_bytes())?.strip_prefix(b"/")?;
    let is_token = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    str::from_utf8(token).ok().filter(|_| is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_characters_of_base64url_make_a_token() {
        let longest = "a".repeat(TOKEN_BYTES_MAX);
        let too_long = format!("{longest}a");
        for (name, rest, expected) in [
            ("as from Let's Encrypt", "/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX", true),
            ("all kinds", "/aZ09-_", true),
            ("the longest", &format!("/{longest}"), true),
            ("too long", &format!("/{too_long}"), false),
            ("none", "/", false),
            ("the folder itself", "", false),
            ("a parent", "/..", false),
            ("a path", "/a/b", false),
            ("an escape", "/%2e%2e", false),
            ("a query", "/a?b", false),
            ("padding", "/a=", false),
            ("a zero byte", "/a\0", false),
            ("not ASCII", "/ä", false),
            ("another folder", "s/a", false),
        ] {
            let target = format!("/{FOLDER}{rest}");
            assert_eq!(token(target.as_bytes()).is_some(), expected, "{name}");
        }
        assert_eq!(token(format!("//{FOLDER}/a").as_bytes()), None);
    }
}
