//! The ground floor: time, keys, buffers, timers and dice. Knows nothing of HTTP or sockets.

pub mod buffer;
pub mod rng;
pub mod table;
pub mod time;
pub mod wheel;
