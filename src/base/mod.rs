//! The ground floor: time, keys, buffers, timers and dice. Knows nothing of HTTP or sockets.

pub mod rng;
pub mod time;
