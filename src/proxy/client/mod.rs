//! The client side: listening sockets and accepting, connections and the request on each, the queue
//! for the N slots, and answers of this program's own.

pub mod acceptor;
pub mod admission;
pub mod answer;
pub mod awaited;
pub mod buckets;
pub mod challenges;
pub mod collect;
pub mod connection;
pub mod heads;
pub mod line;
pub mod listener;
mod local;
pub mod pace;
pub mod per_client;
pub mod plan;
pub mod preamble;
pub mod queue_speed;
pub mod request;
pub mod session_lines;
pub mod slow_clients;

pub use local::{LocalAnswer, Origin};
