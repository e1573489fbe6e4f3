//! Directories of a demo.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names tried for the directory; each is taken only if an earlier demo left it.
const TRIES_MAX: u32 = 10_000;

/// A new empty directory that only this user can enter. Its name was not used before by this
/// process: servers of an earlier demo may still be removing theirs.
pub fn fresh_dir() -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let base = std::env::temp_dir();
    for _ in 0..TRIES_MAX {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("loadbalancer-demo-{}-{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
