//! Small binary formats as pure functions over bytes.

pub mod proxy_protocol;
