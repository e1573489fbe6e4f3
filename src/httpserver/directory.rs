//! The served directory: files to read, listings, files to replace. No path and no link leads out
//! of it.

use super::request::SitePath;
use crate::http::head::Refusal;
use crate::http::percent;
use crate::net::part::{Part, Parts};
use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Names one listing shows; a directory with more says so.
const NAMES_MAX: usize = 1_000;

/// The served directory.
#[derive(Debug)]
pub struct Directory {
    /// Absolute and without links.
    root: PathBuf,
    /// Unfinished uploads.
    parts: Parts,
}

/// An opened regular file.
#[derive(Debug)]
pub struct OpenFile {
    pub file: File,
    /// Its size when it was opened.
    pub bytes: u64,
    /// Last change in seconds since 1970.
    pub modified: u64,
}

/// What a path names.
#[derive(Debug)]
pub enum Entry {
    File(OpenFile),
    /// A directory, links resolved.
    Directory(PathBuf),
}

impl Directory {
    /// Errors: `path` is not there or no directory.
    pub fn new(path: &Path) -> io::Result<Directory> {
        let root = path.canonicalize()?;
        match root.is_dir() {
            true => Ok(Directory { root, parts: Parts::default() }),
            false => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files of unfinished uploads.
    pub fn parts(&self) -> Parts {
        self.parts.clone()
    }

    /// Finds what `path` names.
    ///
    /// Errors: 404 when there is nothing, 403 when it is outside, not readable or no regular file.
    pub fn find(&self, path: &SitePath) -> Result<Entry, Refusal> {
        let real = self.resolve(&path.under(&self.root))?;
        if fs::metadata(&real).map_err(|error| refusal(&error))?.is_dir() {
            return Ok(Entry::Directory(real));
        }
        if path.has_final_slash {
            return Err(MISSING);
        }
        open(&real).map(Entry::File)
    }

    /// The file of this name in `directory`, which [`Directory::find`] gave; errors as there.
    pub fn open_in(&self, directory: &Path, name: &str) -> Result<OpenFile, Refusal> {
        self.resolve(&directory.join(name)).and_then(|real| open(&real))
    }

    /// `path` with all links resolved; refused when that leads out of the directory.
    fn resolve(&self, path: &Path) -> Result<PathBuf, Refusal> {
        let real = path.canonicalize().map_err(|error| refusal(&error))?;
        if real.starts_with(&self.root) {
            return Ok(real);
        }
        Err(Refusal { status: 403, reason: "a link leads out of the served directory" })
    }

    /// What is in `directory`, which [`Directory::find`] gave. Hidden names, and with them
    /// unfinished uploads, are left out, as is everything else that is not served.
    pub fn list(&self, directory: &Path) -> Result<Listing, Refusal> {
        let mut rows = Vec::new();
        for entry in fs::read_dir(directory).map_err(|error| refusal(&error))? {
            let Ok(entry) = entry else { continue };
            let mut name = entry.file_name().as_bytes().to_vec();
            let Some(meta) = self.served(&entry).filter(|_| !name.starts_with(b".")) else {
                continue;
            };
            if meta.is_dir() {
                name.push(b'/');
            }
            rows.push(Row { name, bytes: meta.is_file().then_some(meta.len()) });
            if rows.len() > NAMES_MAX {
                break;
            }
        }
        Ok(Listing::of(rows))
    }

    /// What `entry` or its link leads to, if it is served.
    fn served(&self, entry: &DirEntry) -> Option<Metadata> {
        let mut meta = entry.metadata().ok()?;
        if meta.is_symlink() {
            meta = fs::metadata(self.resolve(&entry.path()).ok()?).ok()?;
        }
        Some(meta).filter(|meta| meta.is_dir() || meta.is_file())
    }

    /// Checks that `path` can be written and makes the temporary file beside it.
    ///
    /// Errors: 403 for a directory or a special file, 404 when the parent directory is missing.
    pub fn upload(&self, path: &SitePath) -> Result<Upload, Refusal> {
        if path.has_final_slash || path.is_root() {
            return Err(Refusal { status: 403, reason: "a directory cannot be uploaded" });
        }
        let wanted = path.under(&self.root);
        let parent = wanted.parent().unwrap_or(&self.root);
        let parent = self.resolve(parent).map_err(|refusal| match refusal.status {
            404 => Refusal { status: 404, reason: "there is no such directory here" },
            _ => refusal,
        })?;
        let target = parent.join(wanted.file_name().unwrap_or_default());
        // A link is replaced like a file: the file it points to stays as it is.
        let replaces = match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_file() || meta.is_symlink() => true,
            Ok(_) => return Err(NOT_REGULAR),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(refusal(&error)),
        };
        let part = self.parts.create(&target).map_err(|error| refusal(&error))?;
        Ok(Upload { part, target, replaces })
    }
}

/// Opens a regular file whose path has no links in it.
fn open(real: &Path) -> Result<OpenFile, Refusal> {
    // Without O_NONBLOCK opening a pipe would wait for its writer; with O_NOFOLLOW a link put there
    // since the path was resolved is not followed.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(real);
    let file = opened.map_err(|error| refusal(&error))?;
    let meta = file.metadata().map_err(|error| refusal(&error))?;
    if !meta.is_file() {
        return Err(NOT_REGULAR);
    }
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |since| since.as_secs());
    Ok(OpenFile { file, bytes: meta.len(), modified })
}

const MISSING: Refusal = Refusal { status: 404, reason: "there is no such file here" };
const NOT_REGULAR: Refusal = Refusal { status: 403, reason: "this is not a regular file" };

/// The response to a client when the system refuses a file.
fn refusal(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::ELOOP) => {
            return Refusal { status: 403, reason: "the links of the path form a loop" };
        }
        // A socket, or a device that is not there.
        Some(libc::ENXIO | libc::ENODEV) => return NOT_REGULAR,
        Some(_) | None => {}
    }
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => MISSING,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Refusal { status: 403, reason: "the server has no permission for that file" }
        }
        ErrorKind::IsADirectory => Refusal { status: 403, reason: "this is a directory" },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Refusal { status: 507, reason: "the server has no space left" }
        }
        _ => Refusal { status: 500, reason: "the server could not use that file" },
    }
}

/// An upload in progress; dropped before [`Upload::finish`], nothing is left of it.
#[derive(Debug)]
pub struct Upload {
    part: Part,
    target: PathBuf,
    replaces: bool,
}

/// What an upload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Created,
    Replaced,
}

impl Upload {
    /// Appends `bytes`.
    ///
    /// Errors: 507 when the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.part.write_all(bytes).map_err(|error| refusal(&error))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<Stored, Refusal> {
        self.part.keep(&self.target).map_err(|error| refusal(&error))?;
        Ok(if self.replaces { Stored::Replaced } else { Stored::Created })
    }
}

/// The names in a directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of their bytes.
    rows: Vec<Row>,
    /// The directory has more than [`NAMES_MAX`] names.
    is_cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// With a final slash for a directory.
    name: Vec<u8>,
    /// None for a directory.
    bytes: Option<u64>,
}

impl Listing {
    fn of(mut rows: Vec<Row>) -> Listing {
        let is_cut = rows.len() > NAMES_MAX;
        rows.truncate(NAMES_MAX);
        rows.sort();
        Listing { rows, is_cut }
    }

    /// A line for each name, with the size before it. Names are encoded as in a URL: they could
    /// have characters that control a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Row { name, bytes } in &self.rows {
            let size = bytes.map_or(String::new(), |bytes| bytes.to_string());
            text.push_str(&format!("{size:>10}  {}\n", encode(name)));
        }
        text + if self.is_cut { "and more\n" } else { "" }
    }

    /// An HTML page of links for the directory requested as `path`; `server` is one line about this
    /// server.
    pub fn html(&self, path: &str, server: &str) -> String {
        let title = escape(path);
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>{title}</title></head>\n\
             <body><h1>{title}</h1><ul>\n"
        );
        if path != "/" {
            page.push_str("<li><a href=\"../\">../</a></li>\n");
        }
        for Row { name, bytes } in &self.rows {
            // `./` keeps a name with a colon from being read as a scheme (RFC 3986 §4.2).
            let (link, shown) = (encode(name), escape(&String::from_utf8_lossy(name)));
            let size = bytes.map_or(String::new(), |bytes| format!(" {bytes} bytes"));
            page.push_str(&format!("<li><a href=\"./{link}\">{shown}</a>{size}</li>\n"));
        }
        let more = if self.is_cut { "<p>and more.</p>" } else { "" };
        page + "</ul>" + more + "<p>" + &escape(server) + "</p></body></html>\n"
    }
}

fn encode(name: &[u8]) -> String {
    percent::encode(name, |byte| percent::is_unreserved(byte) || byte == b'/')
}

/// `text` for an HTML element's content.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listing of files of 3 bytes, or of directories.
    fn listing(names: impl IntoIterator<Item = Vec<u8>>) -> Listing {
        let row = |name: Vec<u8>| Row { bytes: (!name.ends_with(b"/")).then_some(3), name };
        Listing::of(names.into_iter().map(row).collect())
    }

    #[test]
    fn names_are_sorted_escaped_and_encoded() {
        let listing = listing([b"b&<\".txt".to_vec(), b"a/".to_vec(), b"c\xff:\x1b".to_vec()]);
        let page = listing.html("/x/", "httpserver on port 1");
        let links: Vec<&str> = page.lines().filter(|line| line.starts_with("<li>")).collect();
        let expected = [
            "<li><a href=\"../\">../</a></li>",
            "<li><a href=\"./a/\">a/</a></li>",
            "<li><a href=\"./b%26%3C%22.txt\">b&amp;&lt;&quot;.txt</a> 3 bytes</li>",
            "<li><a href=\"./c%FF%3A%1B\">c\u{fffd}:\u{1b}</a> 3 bytes</li>",
        ];
        assert_eq!(links, expected);
        let expected = "            a/\n         3  b%26%3C%22.txt\n         3  c%FF%3A%1B\n";
        assert_eq!(listing.text(), expected);
    }

    #[test]
    fn a_page_is_cut_one_name_past_the_limit_and_says_so() {
        let names = |count: usize| listing((0..count).map(|n| n.to_string().into_bytes()));
        let whole = names(NAMES_MAX);
        assert!(!whole.html("/", "").contains("and more") && !whole.text().contains("and more"));
        let cut = names(NAMES_MAX + 1);
        assert!(cut.html("/", "").contains("and more") && cut.text().contains("and more"));
        assert_eq!(cut.html("/", "").matches("<li>").count(), NAMES_MAX);
    }
}
