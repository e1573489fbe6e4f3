//! Where a download goes: a name that cannot leave the directory, a file that appears once it is
//! whole.

use super::failure::is_printable;
use crate::http::percent;
use crate::net::part::{Part, Parts};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest file name in bytes on every common file system.
const NAME_BYTES_MAX: usize = 255;

/// The name for a URL whose path ends in a slash.
const INDEX: &[u8] = b"index.html";

/// An open destination.
#[derive(Debug)]
pub enum Sink {
    Stdout,
    /// A pipe or device given by `-o`: written directly, as it cannot be renamed to.
    Direct(File, PathBuf),
    /// A regular file, and its final name.
    File(Part, PathBuf),
}

impl Sink {
    /// Opens the target of `-o`.
    pub fn output(path: &Path, parts: &Parts) -> io::Result<Sink> {
        if path == Path::new("-") {
            return Ok(Sink::Stdout);
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Err(ErrorKind::IsADirectory.into()),
            // Through a link the file behind it is replaced, not the link.
            Ok(meta) if meta.is_file() => Sink::file(path.canonicalize()?, parts),
            Ok(_) => {
                let file = File::options().write(true).open(path)?;
                Ok(Sink::Direct(file, path.to_owned()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Sink::file(path.to_owned(), parts),
            Err(error) => Err(error),
        }
    }

    /// Opens the file in `dir` that the last segment of `path`, a URL's, names. A link of that name
    /// is replaced and not followed: it could lead elsewhere.
    pub fn named_by(path: &str, dir: &Path, parts: &Parts) -> io::Result<Sink> {
        let target = dir.join(OsStr::from_bytes(&name(path)));
        match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(_) | Err(_) => Sink::file(target, parts),
        }
    }

    fn file(target: PathBuf, parts: &Parts) -> io::Result<Sink> {
        parts.create(&target).map(|part| Sink::File(part, target))
    }

    /// Completes the download: the file gets its final name.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Sink::Stdout => io::stdout().flush(),
            Sink::Direct(mut file, _) => file.flush(),
            Sink::File(part, target) => part.keep(&target),
        }
    }

    /// Its name in messages.
    pub fn shown(&self) -> String {
        match self {
            Sink::Stdout => "standard output".to_owned(),
            Sink::Direct(_, path) | Sink::File(_, path) => {
                path.strip_prefix(".").unwrap_or(path).display().to_string()
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout => io::stdout().write(bytes),
            Sink::Direct(file, _) => file.write(bytes),
            Sink::File(part, _) => part.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The last segment of `path` (without its query), decoded, as a safe file name: no slash, no
/// character that controls a terminal, not `.` or `..`, no leading `-` that a later command takes
/// for an option.
pub fn name(path: &str) -> Vec<u8> {
    let path = path.split('?').next().unwrap_or_default();
    let segment = path.rsplit('/').next().unwrap_or_default().as_bytes();
    let mut name = percent::decode(segment).unwrap_or_else(|| segment.to_vec());
    for byte in &mut name {
        if *byte == b'/' || byte.is_ascii_control() {
            *byte = b'_';
        }
    }
    if let Ok(text) = str::from_utf8(&name) {
        name = text.replace(|c| !is_printable(c), "_").into_bytes();
    }
    if name.first() == Some(&b'-') {
        name[0] = b'_';
    }
    name.truncate(NAME_BYTES_MAX);
    match name.as_slice() {
        b"" | b"." | b".." => INDEX.to_vec(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_directory_for_every_url() {
        let table: [(&str, &[u8]); 19] = [
            ("/", b"index.html"),
            ("/a/", b"index.html"),
            ("/a/b", b"b"),
            ("/a?b=/c", b"a"),
            ("/?x", b"index.html"),
            ("/.", b"index.html"),
            ("/..", b"index.html"),
            ("/%2e%2e", b"index.html"),
            ("/..%2f..%2fetc%2fpasswd", b".._.._etc_passwd"),
            ("/%2fetc", b"_etc"),
            ("/a%00b%0a", b"a_b_"),
            ("/-rf", b"_rf"),
            ("/%2Drf", b"_rf"),
            ("/a%20%C3%A9", "a \u{e9}".as_bytes()),
            ("/a%zz", b"a%zz"),
            ("/a%1B%5B2Jb", b"a_[2Jb"),
            ("/a%C2%9B2Jb", b"a_2Jb"),
            ("/a%E2%80%AEgpj.exe", b"a_gpj.exe"),
            ("/a%9B", b"a\x9b"),
        ];
        for (path, expected) in table {
            assert_eq!(name(path), expected, "{path}");
        }
        assert_eq!(name(&format!("/{}", "a".repeat(256))).len(), NAME_BYTES_MAX);
    }
}
