//! The system's errors in words.

use std::io;

/// What went wrong, as a clause within a sentence: the system's words begin with a capital and end
/// with the number that the standard library adds ("No such file or directory (os error 2)").
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) if error.raw_os_error().is_some() => clause(words),
        Some(_) | None => text,
    }
}

/// Begins in lower case, unless the first word is an abbreviation.
fn clause(words: &str) -> String {
    let mut chars = words.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(words.chars().skip(1)).collect()
        }
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_become_a_clause() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(reason(&missing), "no such file or directory");
        assert_eq!(clause("RPC version wrong"), "RPC version wrong");
        assert_eq!(clause(""), "");
        assert_eq!(reason(&io::Error::other("a (os error b")), "a (os error b");
    }
}
