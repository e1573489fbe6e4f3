//! TLS to clients: the binary against a client of the library, and against clients that are common
//! where they are installed.
#![cfg(feature = "tls")]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod files;
mod get;
mod installed;
mod sessions;
#[cfg(target_os = "linux")]
mod takeover;
mod turns;
