//! Where the control socket of a name is, and which there are.

use super::peer::user;
use crate::wire::name::Name;
use socket2::SockAddr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

/// Whether there are abstract names.
pub(super) const IS_ABSTRACT: bool = cfg!(target_os = "linux");

/// The directory of this user's socket files.
///
/// Errors: it cannot be made, or is another user's.
fn directory() -> io::Result<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let path = match runtime.filter(|path| path.is_absolute()) {
        Some(path) => path.join("loadbalancer"),
        None => std::env::temp_dir().join(format!("loadbalancer-{}", user())),
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(&path)?;
    match found.is_dir() && found.uid() == user() {
        true => Ok(path),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

pub(super) fn file_of(name: &Name) -> io::Result<PathBuf> {
    Ok(directory()?.join(name.file()))
}

/// The address of the socket of this name.
pub(super) fn address(name: &Name) -> io::Result<SockAddr> {
    match IS_ABSTRACT {
        // A path that begins with a zero byte is an abstract name.
        true => SockAddr::unix(format!("\0{name}")),
        false => SockAddr::unix(file_of(name)?),
    }
}

pub(super) fn name_of(address: &SockAddr) -> Option<Name> {
    match address.as_abstract_namespace() {
        Some(name) => Name::read(std::str::from_utf8(name).ok()?),
        None => Name::from_file(user(), address.as_pathname()?.file_name()?.to_str()?),
    }
}

/// The names of all instances that run: of every user where names are abstract, else of this one.
pub fn names() -> Vec<Name> {
    if IS_ABSTRACT {
        // Names of other programs may have any bytes.
        let table = fs::read("/proc/net/unix").unwrap_or_default();
        return crate::wire::name::listed(&String::from_utf8_lossy(&table));
    }
    let Ok(entries) = directory().and_then(fs::read_dir) else { return Vec::new() };
    let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    files.filter_map(|file| Name::from_file(user(), &file)).collect()
}
