//! PUT: a body becomes a file, whole or not at all.

use super::answer::Answer;
use super::inbox::{BodyError, Incoming, is_timeout};
use super::part::Part;
use super::path::SitePath;
use super::{files, kind};
use crate::http::head::Refusal;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// An upload that may begin.
#[derive(Debug)]
pub struct Upload {
    part: Part,
    target: PathBuf,
    replaces: bool,
}

impl Upload {
    /// Checks that `path` can be written below `root` and makes the temporary file beside it.
    ///
    /// Errors: 403 for a directory or a special file, 404 for a directory that is not there.
    pub fn prepare(root: &Path, path: &SitePath) -> Result<Upload, Refusal> {
        if path.is_directory || path.is_root() {
            return Err(Refusal { status: 403, reason: "a directory cannot be uploaded" });
        }
        let wanted = path.under(root);
        let parent = wanted.parent().unwrap_or(root);
        let parent = files::inside(root, parent).map_err(|refusal| match refusal.status {
            404 => Refusal { status: 404, reason: "there is no such directory here" },
            _ => refusal,
        })?;
        let target = parent.join(wanted.file_name().unwrap_or_default());
        // A link is replaced like a file: what it points at stays as it is.
        let replaces = match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_file() || meta.is_symlink() => true,
            Ok(_) => return Err(Refusal { status: 403, reason: "this is not a regular file" }),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(files::refusal(&error)),
        };
        let part = Part::beside(&target).map_err(|error| files::refusal(&error))?;
        Ok(Upload { part, target, replaces })
    }

    /// Writes the body and gives the file its name; how many bytes it has. On an error nothing is
    /// left of it.
    ///
    /// Errors: 400 and 408 when the body does not come to its end, 507 when the disk is full.
    pub fn receive<S: Read>(mut self, incoming: &mut Incoming<'_, S>) -> Result<Stored, Refusal> {
        let mut bytes = 0;
        loop {
            let run = incoming.next().map_err(|error| broken(&error))?;
            if run.is_empty() {
                break;
            }
            self.part.write_all(run).map_err(|error| files::refusal(&error))?;
            bytes += run.len() as u64;
        }
        self.part.keep(&self.target).map_err(|error| files::refusal(&error))?;
        Ok(Stored { bytes, replaced: self.replaces })
    }
}

/// What became of an upload.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    bytes: u64,
    replaced: bool,
}

impl Stored {
    /// 201 for a new file and 200 for a replaced one (RFC 9110 §9.3.4).
    pub fn answer(self, path: &SitePath, port: u16) -> Answer {
        let (status, verb) = if self.replaced { (200, "replaced") } else { (201, "created") };
        let noun = if self.bytes == 1 { "byte" } else { "bytes" };
        let text = format!("{verb} {path}, {} {noun}, by httpserver on port {port}\n", self.bytes);
        Answer::new(status, kind::TEXT, text.into_bytes())
    }
}

/// What a client is told whose body does not come to its end.
pub fn broken(error: &BodyError) -> Refusal {
    match error {
        BodyError::Truncated => Refusal { status: 400, reason: "the body ended early" },
        BodyError::Malformed => Refusal { status: 400, reason: "the chunked body is malformed" },
        BodyError::Read(error) if is_timeout(error) => {
            Refusal { status: 408, reason: "the body did not come in time" }
        }
        BodyError::Read(_) => Refusal { status: 400, reason: "the body could not be read" },
    }
}
