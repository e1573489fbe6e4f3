//! The path of a request as segments that cannot lead out of the served directory by their text.
//! Touches no file: links are the business of `files`.

use crate::http::head::Refusal;
use crate::http::percent;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path below the served directory, percent-decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePath {
    segments: Vec<Vec<u8>>,
    /// The text ended in a slash: a directory is meant.
    pub is_directory: bool,
}

impl SitePath {
    /// Reads the path of a request target, without its query.
    ///
    /// Errors: 400 for a broken `%XX` and for NUL, 403 for `..` and for a slash in disguise. Both
    /// are looked for behind the decoding, so that `%2e%2e` is no different from `..`.
    pub fn read(path: &[u8]) -> Result<SitePath, Refusal> {
        const OUTSIDE: Refusal =
            Refusal { status: 403, reason: "the path leads out of what is served here" };
        let mut segments = Vec::new();
        for segment in path.split(|&byte| byte == b'/') {
            let segment = percent::decode(segment)
                .filter(|segment| !segment.contains(&0))
                .ok_or(Refusal { status: 400, reason: "the path is not well encoded" })?;
            match segment.as_slice() {
                b"" | b"." => {}
                b".." => return Err(OUTSIDE),
                slashed if slashed.contains(&b'/') => return Err(OUTSIDE),
                _ => segments.push(segment),
            }
        }
        Ok(SitePath { segments, is_directory: path.ends_with(b"/") })
    }

    /// Where it lies when `root` is served.
    pub fn under(&self, root: &Path) -> PathBuf {
        let segments = self.segments.iter().map(|segment| OsStr::from_bytes(segment));
        root.iter().chain(segments).collect()
    }

    /// The served directory itself.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// The only segment, where there is one only: what `/N` is looked for in.
    pub fn single(&self) -> Option<&[u8]> {
        match self.segments.as_slice() {
            [only] if !self.is_directory => Some(only),
            _ => None,
        }
    }
}

impl std::fmt::Display for SitePath {
    /// Encoded again: safe in a field value, in plain text and in an HTML attribute. Starts with
    /// one slash only, so that it cannot name another host.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.segments {
            write!(f, "/{}", percent::encode(segment, percent::is_unreserved))?;
        }
        if self.is_directory || self.is_root() { f.write_str("/") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root_or_are_refused() {
        let table: [(&str, Result<&str, u16>); 24] = [
            ("/", Ok("/srv")),
            ("", Ok("/srv")),
            ("/a", Ok("/srv/a")),
            ("/a/b/", Ok("/srv/a/b")),
            ("//a///b", Ok("/srv/a/b")),
            ("/./a/.", Ok("/srv/a")),
            ("/%61%20b", Ok("/srv/a b")),
            ("/...", Ok("/srv/...")),
            ("/..a", Ok("/srv/..a")),
            ("/~root", Ok("/srv/~root")),
            ("/a\\..\\b", Ok("/srv/a\\..\\b")),
            ("/%252e%252e/a", Ok("/srv/%2e%2e/a")),
            ("/..", Err(403)),
            ("/../etc/passwd", Err(403)),
            ("/a/../b", Err(403)),
            ("/%2e%2e/etc/passwd", Err(403)),
            ("/%2E./etc/passwd", Err(403)),
            ("/.%2e", Err(403)),
            ("/..%2fetc%2fpasswd", Err(403)),
            ("/%2fetc/passwd", Err(403)),
            ("/a%2Fb", Err(403)),
            ("/a%00b", Err(400)),
            ("/a%", Err(400)),
            ("/a%zz", Err(400)),
        ];
        for (path, expected) in table {
            let read = SitePath::read(path.as_bytes());
            let found = read.map(|path| path.under(Path::new("/srv"))).map_err(|r| r.status);
            assert_eq!(found, expected.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn display_reads_back_and_never_starts_with_two_slashes() {
        for path in ["/", "/a", "/a/", "//evil.example/x/", "/%22%3Cb%3E%0d%0a"] {
            let read = SitePath::read(path.as_bytes()).unwrap();
            let shown = read.to_string();
            assert!(!shown.starts_with("//") && !shown.contains(['"', '<', '\r']), "{shown}");
            assert_eq!(SitePath::read(shown.as_bytes()).unwrap().segments, read.segments);
        }
    }
}
