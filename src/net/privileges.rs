//! Gives up the rights of root for those of a user, once the port is bound and the logs are open.

use super::log_file::LogFile;
use crate::base::reason::reason;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::{fchown, lchown};
use std::path::Path;

/// A user with the groups it is a member of.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    user: libc::uid_t,
    group: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

/// Room for one entry of the user or group database; grows up to [`ENTRY_BYTES_MAX`].
const ENTRY_BYTES: usize = 4 * 1024;

/// A group with very many members.
const ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most groups of one user (Linux allows 65,536).
const GROUPS_MAX: usize = 65_536;

impl Identity {
    /// Of a user, by name or number, as `NAME` or `NAME:GROUP`. With a group, that is the only one;
    /// without, the user's own groups are taken. A number that names no user needs a group.
    ///
    /// Errors: what is not known, in one sentence.
    pub fn find(text: &str) -> Result<Identity, String> {
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let known = user(name)
            .map_err(|error| format!("cannot look up the user {name}: {}", reason(&error)))?;
        let number = known.as_ref().map(|known| known.uid).or_else(|| name.parse().ok());
        let user = number.ok_or_else(|| format!("there is no user {name}"))?;
        let Some(group) = group else {
            let known = known
                .ok_or_else(|| format!("there is no user {name}: add a group, {name}:GROUP"))?;
            let groups = groups_of(&known.name, known.gid);
            return Ok(Identity { user, group: known.gid, groups });
        };
        let found = group_id(group)
            .map_err(|error| format!("cannot look up the group {group}: {}", reason(&error)))?
            .or_else(|| group.parse().ok());
        let group = found.ok_or_else(|| format!("there is no group {group}"))?;
        Ok(Identity { user, group, groups: vec![group] })
    }

    /// Its number.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// Whether it is root, which gives nothing up.
    pub fn is_root(&self) -> bool {
        self.user == 0
    }

    /// Makes the log its own if it is a regular file, so that it can open it again later.
    ///
    /// Errors: the process is not allowed to.
    pub fn own(&self, log: &LogFile) -> io::Result<()> {
        match log {
            LogFile::Regular(file) => fchown(file, Some(self.user), Some(self.group)),
            LogFile::Stream(_) | LogFile::Unread(_) => Ok(()),
        }
    }

    /// Makes the file of a unix socket its own, so that it looks as if this user had made it.
    ///
    /// Errors: the process is not allowed to.
    pub fn own_socket(&self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.user), Some(self.group))
    }

    /// Becomes this user, in all threads and for good: without supplementary groups of the previous
    /// user and, unless it is root, without capabilities.
    ///
    /// Errors: the process is not allowed to.
    #[allow(unsafe_code)]
    pub fn assume(&self) -> io::Result<()> {
        let Identity { user, group, .. } = *self;
        // SAFETY: the pointer is to as many live group numbers as the count says.
        check(unsafe { libc::setgroups(self.groups.len() as _, self.groups.as_ptr()) })?;
        // SAFETY: the calls take numbers only.
        unsafe {
            check(libc::setgid(group))?;
            // From root it sets the real, the effective and the saved user. The kernel then clears
            // the permitted, effective and ambient capabilities (capabilities(7)).
            check(libc::setuid(user))?;
        }
        forbid_new_privileges()
    }
}

/// Whether this process has root's rights.
#[allow(unsafe_code)]
pub fn is_root() -> bool {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn check(outcome: libc::c_int) -> io::Result<()> {
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Programs with set-user-ID or file capabilities give none back, which inheritable capabilities
/// and the bounding set would allow.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

#[cfg(not(target_os = "linux"))]
fn forbid_new_privileges() -> io::Result<()> {
    Ok(())
}

struct User {
    name: CString,
    uid: libc::uid_t,
    gid: libc::gid_t,
}

/// The user of this name or number, if there is one.
#[allow(unsafe_code)]
fn user(text: &str) -> io::Result<Option<User>> {
    let name = CString::new(text)?;
    let number = text.parse::<libc::uid_t>().ok();
    entry(
        |entry: *mut libc::passwd, buffer, bytes, found| {
            // SAFETY: the name is a C string, and the other pointers are to live values, the buffer
            // being of the size given.
            unsafe {
                match number {
                    Some(number) => libc::getpwuid_r(number, entry, buffer, bytes, found),
                    None => libc::getpwnam_r(name.as_ptr(), entry, buffer, bytes, found),
                }
            }
        },
        |entry| {
            // SAFETY: the name in a found entry is a C string in the buffer, which still lives.
            let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
            User { name, uid: entry.pw_uid, gid: entry.pw_gid }
        },
    )
}

/// The name of the user of this number, if there is one.
pub fn user_name(number: u32) -> Option<String> {
    let found = user(&number.to_string()).ok()??;
    found.name.into_string().ok()
}

/// The number of the group of this name, if there is one.
#[allow(unsafe_code)]
fn group_id(text: &str) -> io::Result<Option<libc::gid_t>> {
    let name = CString::new(text)?;
    entry(
        |entry: *mut libc::group, buffer, bytes, found| {
            // SAFETY: the name is a C string, and the other pointers are to live values, the buffer
            // being of the size given.
            unsafe { libc::getgrnam_r(name.as_ptr(), entry, buffer, bytes, found) }
        },
        |entry| entry.gr_gid,
    )
}

/// Calls `get` with ever larger buffers, and `take` on what it found.
#[allow(unsafe_code)]
fn entry<E, T>(
    get: impl Fn(*mut E, *mut libc::c_char, libc::size_t, *mut *mut E) -> libc::c_int,
    take: impl Fn(&E) -> T,
) -> io::Result<Option<T>> {
    let mut bytes = ENTRY_BYTES;
    loop {
        let mut buffer = vec![0 as libc::c_char; bytes];
        let mut entry = MaybeUninit::<E>::uninit();
        let mut found = std::ptr::null_mut();
        match get(entry.as_mut_ptr(), buffer.as_mut_ptr(), bytes, &raw mut found) {
            0 if found.is_null() => return Ok(None),
            // SAFETY: the entry was found, so it is written, and its pointers lead into the buffer.
            0 => return Ok(Some(take(unsafe { entry.assume_init_ref() }))),
            libc::ERANGE if bytes < ENTRY_BYTES_MAX => bytes *= 4,
            // What the systems return for a name that does not exist (getpwnam(3)).
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// The groups that list this user, and its own.
#[allow(unsafe_code)]
fn groups_of(name: &CStr, own: libc::gid_t) -> Vec<libc::gid_t> {
    let mut groups = vec![own; GROUPS_MAX];
    let mut count = GROUPS_MAX as libc::c_int;
    // SAFETY: the name is a C string, and the call writes at most `count` numbers to the live
    // buffer of so many.
    let outcome = unsafe {
        libc::getgrouplist(name.as_ptr(), own as _, groups.as_mut_ptr().cast(), &raw mut count)
    };
    // -1: there are more, of which those that fit were written.
    let written = if outcome < 0 { GROUPS_MAX } else { usize::try_from(count).unwrap_or(1) };
    groups.truncate(written);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_by_number() {
        let root = Identity::find("root").expect("every system has it");
        assert!(root.is_root());
        assert_eq!(root.groups.first(), Some(&root.group));
        assert_eq!(Identity::find("0").expect("a number"), root);
        for (text, user, group) in [("1234:5678", 1234, 5678), ("root:5678", 0, 5678)] {
            let expected = Identity { user, group, groups: vec![group] };
            assert_eq!(Identity::find(text).expect("numbers"), expected, "{text}");
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (text, expected) in [
            ("no-such-user", "there is no user no-such-user"),
            ("no-such-user:root", "there is no user no-such-user"),
            ("root:no-such-group", "there is no group no-such-group"),
            ("4123456789", "there is no user 4123456789: add a group, 4123456789:GROUP"),
        ] {
            assert_eq!(Identity::find(text).expect_err("unknown"), expected, "{text}");
        }
    }
}
