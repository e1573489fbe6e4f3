//! Where a download goes: a name that cannot leave the directory, a file that appears once whole.

use crate::http::percent;
use crate::httpserver::part::Part;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest file name in bytes on every common file system.
const NAME_BYTES_MAX: usize = 255;

/// For a URL whose path ends in a slash.
const INDEX: &[u8] = b"index.html";

/// An open destination.
#[derive(Debug)]
pub enum Sink {
    Stdout,
    /// A pipe or device named by `-o`: written as it comes, for there is nothing to rename.
    Direct(File, PathBuf),
    /// A file to be, and its name.
    File(Part, PathBuf),
}

impl Sink {
    /// Opens what `-o` named.
    pub fn output(path: &Path) -> io::Result<Sink> {
        if path == Path::new("-") {
            return Ok(Sink::Stdout);
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Err(ErrorKind::IsADirectory.into()),
            // Through a link the file behind it is replaced, not the link.
            Ok(meta) if meta.is_file() => Sink::file(path.canonicalize()?),
            Ok(_) => {
                let file = File::options().write(true).open(path)?;
                Ok(Sink::Direct(file, path.to_owned()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Sink::file(path.to_owned()),
            Err(error) => Err(error),
        }
    }

    /// Opens the file in `dir` that the last segment of `path`, a URL's, names. A link of that name
    /// is replaced and not followed: it could lead elsewhere.
    pub fn named_by(path: &str, dir: &Path) -> io::Result<Sink> {
        let target = dir.join(OsStr::from_bytes(&name(path)));
        match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(_) | Err(_) => Sink::file(target),
        }
    }

    fn file(target: PathBuf) -> io::Result<Sink> {
        Part::beside(&target).map(|part| Sink::File(part, target))
    }

    /// Makes what was written last: the file has its name from now on.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Sink::Stdout => io::stdout().flush(),
            Sink::Direct(mut file, _) => file.flush(),
            Sink::File(part, target) => part.keep(&target),
        }
    }

    /// How messages name it.
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

/// The last segment of `path` (its query left out), decoded, as a file name that is one for sure:
/// no slash, no control byte, not `.` or `..`, no option of some later command.
pub fn name(path: &str) -> Vec<u8> {
    let path = path.split('?').next().unwrap_or_default();
    let segment = path.rsplit('/').next().unwrap_or_default().as_bytes();
    let mut name = percent::decode(segment).unwrap_or_else(|| segment.to_vec());
    for byte in &mut name {
        if *byte == b'/' || byte.is_ascii_control() {
            *byte = b'_';
        }
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
    fn names_stay_in_the_directory_whatever_the_url_says() {
        let table: [(&str, &[u8]); 15] = [
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
        ];
        for (path, expected) in table {
            assert_eq!(name(path), expected, "{path}");
        }
        assert_eq!(name(&format!("/{}", "a".repeat(256))).len(), NAME_BYTES_MAX);
    }
}
