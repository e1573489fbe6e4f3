//! A file that appears under its name only once it is whole: an upload or a download in progress.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of the final name that the temporary name repeats: with what is added it stays within the
/// 255 bytes a name may have.
const STEM_BYTES_MAX: usize = 200;

/// Temporary names tried before giving up; each is in use by another writer of this process.
const TRIES_MAX: u32 = 10_000;

/// Mode of a new file before the umask.
const MODE_NEW: u32 = 0o666;

/// Mode of a temporary file until it has that of the file it replaces: only its owner reads it.
const MODE_PRIVATE: u32 = 0o600;

/// The temporary files of a program, so that none is left when a signal ends it.
#[derive(Clone, Debug, Default)]
pub struct Parts(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Parts {
    /// Makes `.NAME.part-PID` beside `target`, with the mode and, where permitted, the owner of the
    /// file it is to replace; without such a file, with the mode that the umask gives.
    pub fn create(&self, target: &Path) -> io::Result<Part> {
        let replaced = fs::symlink_metadata(target).ok().filter(Metadata::is_file);
        let mode = if replaced.is_some() { MODE_PRIVATE } else { MODE_NEW };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut paths = self.lock();
        for path in (0..TRIES_MAX).map(|number| temporary(target, number)) {
            let file = match options.open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            paths.insert(path.clone());
            drop(paths);
            let part = Part { file, path: Some(path), parts: self.clone() };
            if let Some(meta) = &replaced {
                // Only root may give files away.
                let _ = fchown(&part.file, Some(meta.uid()), Some(meta.gid()));
                // Not the set-user-ID and set-group-ID bits: the content comes from someone else.
                let mode = meta.permissions().mode() & 0o777;
                part.file.set_permissions(Permissions::from_mode(mode))?;
            }
            return Ok(part);
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Removes all temporary files, for the end of the process: from now on a thread that would
    /// create, rename or remove one waits for that end.
    pub fn close(&self) {
        let paths = self.lock();
        for path in paths.iter() {
            let _ = fs::remove_file(path);
        }
        std::mem::forget(paths);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        // No code that holds the lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The temporary name number `number` for `target`.
fn temporary(target: &Path, number: u32) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let mut temporary = OsString::from(".");
    temporary.push(OsStr::from_bytes(&name[..name.len().min(STEM_BYTES_MAX)]));
    temporary.push(format!(".part-{}", std::process::id()));
    if number > 0 {
        temporary.push(format!("-{number}"));
    }
    target.with_file_name(temporary)
}

/// A file being written under a temporary name; removed when dropped before [`Part::keep`].
#[derive(Debug)]
pub struct Part {
    file: File,
    /// None once the file has its final name.
    path: Option<PathBuf>,
    parts: Parts,
}

impl Part {
    /// Renames it to `target`, replacing the file there.
    pub fn keep(mut self, target: &Path) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut paths = self.parts.lock();
        fs::rename(path, target)?;
        // Another writer may use that name from now on: `drop` must not remove it.
        paths.remove(path);
        drop(paths);
        self.path = None;
        Ok(())
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let mut paths = self.parts.lock();
            // It fails when the file is gone already.
            let _ = fs::remove_file(path);
            paths.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    /// A new directory, removed with the value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("part-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).expect("a directory");
            Scratch(path)
        }

        fn names(&self) -> Vec<OsString> {
            let entries = fs::read_dir(&self.0).expect("the directory");
            entries.map(|entry| entry.expect("an entry").file_name()).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o7777
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_new_one_has_that_of_the_umask() {
        let scratch = Scratch::new("mode");
        let plain = scratch.0.join("plain");
        File::create(&plain).expect("a file");
        for (name, before, after) in [
            ("private", Some(0o600), 0o600),
            ("program", Some(0o755), 0o755),
            ("read-only", Some(0o444), 0o444),
            ("shared", Some(0o666), 0o666),
            ("set-user-ID", Some(0o4755), 0o755),
            ("new", None, mode(&plain)),
        ] {
            let target = scratch.0.join(name);
            if let Some(before) = before {
                fs::write(&target, "old").expect("a file");
                fs::set_permissions(&target, Permissions::from_mode(before)).expect("a mode");
            }
            let mut part = Parts::default().create(&target).expect("a part");
            part.write_all(b"new").expect("room");
            part.keep(&target).expect("a rename");
            assert_eq!(mode(&target), after, "{name}");
            assert_eq!(fs::read(&target).expect("the file"), b"new", "{name}");
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_owner_when_root_replaces_it() {
        let scratch = Scratch::new("owner");
        let target = scratch.0.join("a");
        fs::write(&target, "old").expect("a file");
        let is_root = chown(&target, Some(4_321), Some(4_322)).is_ok();
        let part = Parts::default().create(&target).expect("a part");
        part.keep(&target).expect("a rename");
        let meta = fs::metadata(&target).expect("the file");
        assert!(!is_root || (meta.uid(), meta.gid()) == (4_321, 4_322), "{meta:?}");
    }

    #[test]
    fn a_dropped_part_is_removed_and_a_kept_one_is_not() {
        let scratch = Scratch::new("drop");
        let (parts, target) = (Parts::default(), scratch.0.join("a"));
        let (first, second) = (parts.create(&target), parts.create(&target));
        assert_eq!(scratch.names().len(), 2);
        drop(first);
        second.expect("a part").keep(&target).expect("a rename");
        assert_eq!(scratch.names(), ["a"]);
        assert!(parts.lock().is_empty());
    }

    #[test]
    fn all_parts_are_removed_at_once_and_only_they() {
        let scratch = Scratch::new("all");
        let parts = Parts::default();
        let open: Vec<Part> =
            ["a", "b", "b"].map(|name| parts.create(&scratch.0.join(name)).expect("a part")).into();
        fs::write(scratch.0.join("c"), "c").expect("a file");
        parts.close();
        assert_eq!(scratch.names(), ["c"]);
        assert!(parts.0.try_lock().is_err(), "no further part can be made");
        std::mem::forget(open);
    }

    #[test]
    fn a_name_of_any_length_has_a_temporary_one() {
        let scratch = Scratch::new("long");
        let target = scratch.0.join("x".repeat(255));
        let part = Parts::default().create(&target).expect("a part");
        part.keep(&target).expect("a rename");
    }
}
