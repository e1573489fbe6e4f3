//! The values options take, except durations and addresses: text in, value or message out.

use super::suggest::nearest;
use crate::base::token::is_token_byte;
use crate::config::{self, HostPort, LogTarget, quote};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// A whole number within `range`.
pub fn whole(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    config::whole(text, range.clone()).ok_or_else(|| {
        let (least, most) = range.into_inner();
        format!("{} is not a whole number from {least} to {most}", quote(text))
    })
}

/// A user, and perhaps a group, by name or number; whether they exist is checked at the start.
pub fn user(text: &str) -> Result<String, String> {
    let (name, group) = text.split_once(':').unwrap_or((text, "x"));
    let is_name = |name: &str| !name.is_empty() && !name.contains([':', '\0']);
    match is_name(name) && is_name(group) {
        true => Ok(text.to_owned()),
        false => Err(format!("{} is no user: write NAME or NAME:GROUP", quote(text))),
    }
}

/// [`whole`] for ranges within 16 bits.
pub fn small(text: &str, range: RangeInclusive<u16>) -> Result<u16, String> {
    let (least, most) = range.into_inner();
    let number = whole(text, u32::from(least)..=u32::from(most))?;
    Ok(u16::try_from(number).expect("the range ends within 16 bits"))
}

/// What to write for a feature that other programs have under this name.
const ELSEWHERE: [(&[&str], &str); 2] = [
    (&["https", "tls", "ssl"], "for https write --cert FILE, or -m tcp to forward TLS as it is"),
    (
        &["sticky", "cookie", "session", "persistence"],
        "to keep a client at its server write --sticky srv, or -s source",
    ),
];

/// One of `choices` by name; the error lists them all and suggests the nearest.
pub fn choice<V: Copy>(text: &str, choices: &[(&'static str, V)]) -> Result<V, String> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names = names(choices);
    Err(not_one_of(text, &names, names.iter().copied()))
}

/// The message for a `text` that is not one of `names`; the suggestion may come from more of them.
pub fn not_one_of<'a>(
    text: &str,
    names: &[&str],
    candidates: impl Iterator<Item = &'a str>,
) -> String {
    let elsewhere = ELSEWHERE.iter().find(|(words, _)| words.contains(&text));
    let hint = match (elsewhere, nearest(text, candidates)) {
        (Some((_, hint)), _) => format!("; {hint}"),
        (None, Some(name)) => format!("; did you mean {name}?"),
        (None, None) => String::new(),
    };
    format!("{} is not one of {}{hint}", quote(text), names.join(", "))
}

/// A share of all requests from 0 to 1, as a fraction or in percent.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let is_plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match number.parse::<f64>() {
        Ok(number) if is_plain && number <= scale => Ok(number / scale),
        Ok(_) | Err(_) => {
            Err(format!("{} is not a share: write 0.3 or 30%, at most 1 or 100%", quote(text)))
        }
    }
}

/// Suffixes of sizes, each 1,024 times the next.
const SIZE_SUFFIXES: [(char, u64); 3] = [('g', 1 << 30), ('m', 1 << 20), ('k', 1 << 10)];

/// A number of bytes, or of KiB, MiB or GiB with a suffix in any case.
pub fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let unit = SIZE_SUFFIXES
        .iter()
        .find_map(|&(suffix, scale)| Some((lower.strip_suffix(suffix)?, scale)));
    let (digits, scale) = unit.unwrap_or((&lower, 1));
    let is_digits = digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| is_digits);
    let bytes = number.and_then(|number| number.checked_mul(scale));
    bytes.ok_or_else(|| format!("{} is not a size: write 100000, 500k, 20m or 1g", quote(text)))
}

/// `bytes` with the largest suffix that leaves a whole number.
pub fn shown_size(bytes: u64) -> String {
    let unit = SIZE_SUFFIXES.iter().find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale));
    match unit {
        Some((suffix, scale)) => format!("{}{suffix}", bytes / scale),
        None => bytes.to_string(),
    }
}

/// A status and the file for its page, `CODE=FILE`.
fn page(text: &str) -> Result<(u16, PathBuf), String> {
    match text.split_once('=') {
        Some((code, file)) if !file.is_empty() => Ok((small(code, 400..=599)?, file.into())),
        Some(_) | None => Err(format!("{} is not CODE=FILE: write 503=busy.html", quote(text))),
    }
}

/// Adds a page to those of other statuses.
pub fn add_page(text: &str, pages: &mut Vec<(u16, PathBuf)>) -> Result<(), String> {
    let (code, file) = page(text)?;
    if pages.iter().any(|(other, _)| *other == code) {
        return Err(format!("{code} has two pages: keep one"));
    }
    pages.push((code, file));
    Ok(())
}

/// A file of certificates or keys, which is read more than once.
pub fn pem_file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" | "-" => Err(format!("{} is not a file: write the name of one", quote(text))),
        name => Ok(name.into()),
    }
}

/// A directory of files that are read while the program runs.
pub fn directory(text: &str) -> Result<PathBuf, String> {
    match text {
        "" | "-" => Err(format!("{} is not a directory: write the name of one", quote(text))),
        name => Ok(name.into()),
    }
}

/// A list file, which is read more than once.
pub fn list_file(path: PathBuf) -> Result<PathBuf, String> {
    match path.as_os_str() == "-" {
        true => Err("`-` is not a file: write the name of one".to_owned()),
        false => Ok(path),
    }
}

/// A file to be written.
pub fn new_file(path: PathBuf) -> Result<PathBuf, String> {
    match path.as_os_str() == "-" {
        true => Err("`-` is not a file: write the name of one".to_owned()),
        false => Ok(path),
    }
}

/// A field name in lower case (RFC 9110 §5.1).
pub fn field_name(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(is_token_byte) {
        return Err(format!("{} is not a field name: write one like x-user-id", quote(text)));
    }
    Ok(text.to_ascii_lowercase())
}

/// A host name or an address, without a port.
pub fn host_name(text: &str) -> Result<String, String> {
    match HostPort::backend(&format!("{text}:80")) {
        Ok(HostPort { host: Some(host), port: _ }) => Ok(host),
        Ok(HostPort { host: None, port: _ }) | Err(_) => {
            Err(format!("{} is not a host name: write one like lb.example.org", quote(text)))
        }
    }
}

/// The value of a `Host` field: a name or an address, with or without a port.
pub fn host_field(text: &str) -> Result<String, String> {
    let is_host = [text.to_owned(), format!("{text}:80")]
        .iter()
        .any(|authority| HostPort::backend(authority).is_ok_and(|at| at.host.is_some()));
    match is_host {
        true => Ok(text.to_owned()),
        false => Err(format!("{} is not a host: write one like www.example.org", quote(text))),
    }
}

/// A request target in origin form (RFC 9112 §3.2.1).
pub fn target(text: &str) -> Result<String, String> {
    /// Far below the limit of any request line.
    const TARGET_BYTES_MAX: usize = 1_024;
    let is_visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !text.starts_with('/') || !is_visible || text.len() > TARGET_BYTES_MAX {
        return Err(format!("{} is not a path: write one like /healthcheck", quote(text)));
    }
    Ok(text.to_owned())
}

/// The target of a log: `-` is standard output.
pub fn log_target(path: PathBuf) -> LogTarget {
    match path.as_os_str() == "-" {
        true => LogTarget::Stdout,
        false => LogTarget::File(path),
    }
}

/// How the default target of a log is shown.
pub fn shown_log(target: Option<&LogTarget>) -> String {
    match target {
        None => "none".to_owned(),
        Some(LogTarget::Stdout) => "-".to_owned(),
        Some(LogTarget::File(path)) => path.display().to_string(),
    }
}

/// How a file is shown; empty for none.
pub fn shown_path(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

/// How a page of `--error-page` is shown.
pub fn shown_page((status, file): &(u16, PathBuf)) -> String {
    format!("{status}={}", file.display())
}

/// The name of a value among its choices.
pub fn named<V: Copy + PartialEq>(value: V, choices: &[(&'static str, V)]) -> String {
    let found = choices.iter().find(|(_, choice)| *choice == value);
    found.map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// The names of choices.
pub fn names<V>(choices: &[(&'static str, V)]) -> Vec<&'static str> {
    choices.iter().map(|(name, _)| *name).collect()
}

/// How a number is shown, or what happens without one.
pub fn or<V: ToString>(value: Option<V>, without: &str) -> String {
    value.map_or_else(|| without.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_in_range() {
        for (text, expected) in [("1", 1), ("008", 8), ("1000000", 1_000_000)] {
            assert_eq!(whole(text, 1..=1_000_000), Ok(expected), "{text}");
        }
        for text in ["", "0", "1000001", "-1", "+1", "1.0", "abc", "99999999999"] {
            let expected = format!("`{text}` is not a whole number from 1 to 1000000");
            assert_eq!(whole(text, 1..=1_000_000), Err(expected));
        }
        assert_eq!(small("65535", 0..=65535), Ok(65535));
        assert!(small("65536", 0..=65535).is_err());
    }

    #[test]
    fn shares_are_fractions_or_percent() {
        let table =
            [("0", 0.0), ("1", 1.0), ("0.3", 0.3), (".5", 0.5), ("30%", 0.3), ("100%", 1.0)];
        for (text, expected) in table {
            assert_eq!(share(text), Ok(expected), "{text}");
        }
        for text in ["", "%", ".", "30", "1.1", "101%", "-0.1", "nan", "inf", "1e-1", "0,3"] {
            let expected = format!("`{text}` is not a share: write 0.3 or 30%, at most 1 or 100%");
            assert_eq!(share(text), Err(expected));
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        for (text, bytes, shown) in [
            ("0", 0, "0"),
            ("1000", 1_000, "1000"),
            ("500k", 512_000, "500k"),
            ("2M", 2 << 20, "2m"),
            ("1g", 1 << 30, "1g"),
            ("1024m", 1 << 30, "1g"),
            ("18446744073709551615", u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(shown_size(bytes), shown, "{text}");
        }
        for text in ["", "k", "-1", "+1", "1.5g", "1gg", "1kb", "1t", "17179869184g", "1 g"] {
            let expected = format!("`{text}` is not a size: write 100000, 500k, 20m or 1g");
            assert_eq!(size(text), Err(expected));
        }
    }

    #[test]
    fn pages_are_a_code_and_a_file() {
        assert_eq!(page("503=a=b.html"), Ok((503, PathBuf::from("a=b.html"))));
        let form = "is not CODE=FILE: write 503=busy.html";
        assert_eq!(page("503"), Err(format!("`503` {form}")));
        assert_eq!(page("503="), Err(format!("`503=` {form}")));
        let range = "is not a whole number from 400 to 599";
        assert_eq!(page("200=x"), Err(format!("`200` {range}")));
    }

    #[test]
    fn names_and_paths_are_what_http_allows() {
        assert_eq!(field_name("X-User"), Ok("x-user".to_owned()));
        for text in ["", "a b", "a:", "é"] {
            let expected = format!("`{text}` is not a field name: write one like x-user-id");
            assert_eq!(field_name(text), Err(expected));
        }
        assert_eq!(target("/a?b=1"), Ok("/a?b=1".to_owned()));
        for text in ["", "a", "/a b", "/a#b", "/é"] {
            let expected = format!("`{text}` is not a path: write one like /healthcheck");
            assert_eq!(target(text), Err(expected));
        }
        assert!(target(&format!("/{}", "a".repeat(1_023))).is_ok());
        assert!(target(&format!("/{}", "a".repeat(1_024))).is_err());
    }
}
