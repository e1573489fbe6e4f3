//! The lowest layer: time, keys, buffers, timers, random numbers, tokens, texts of
//! numbers and errors. Does no I/O.

pub mod address;
pub mod backend_id;
pub mod buffer;
pub mod connect_fault;
pub mod decimal;
pub mod figures;
pub mod reason;
pub mod rng;
pub mod siphash;
pub mod table;
pub mod time;
pub mod token;
pub mod wheel;
