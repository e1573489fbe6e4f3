//! Memory that was freed, back to the system.

/// Returns whole free pages. The C library keeps what is freed below something that is in use, and
/// takes part of it again with the next request for memory; musl returns it by itself.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn return_free_pages() {
    // SAFETY: the call takes a number; it changes nothing that is allocated.
    unsafe { libc::malloc_trim(0) };
}

/// Nothing to do: the C library returns it by itself, or has no call for that.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_free_pages() {}
