//! HTTP/1.1 as pure functions over bytes (RFC 9110, RFC 9112). Owns no socket and reads no clock.
//! `httparse` is used here only.

pub mod body;
pub mod challenge;
pub mod chunked;
pub mod cookie;
pub mod date;
pub mod edits;
pub mod field;
pub mod fields;
pub mod forward;
pub mod framing;
pub mod head;
pub mod keep_alive;
pub mod method;
pub mod percent;
pub mod reply;
pub mod target;
pub mod trailer;
pub mod via;
pub mod writer;
