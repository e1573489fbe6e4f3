//! How much memory the loop uses, and what it gives back after a peak. When it does: see [`super::trim`].

use super::Proxy;
use super::exchange::Exchanges;
use crate::net::Net;

/// What a connection needs beside the storage of its buffers: its places in the tables, what is
/// kept of its request. Roughly, to know a peak.
const CONNECTION_BYTES: usize = 512;

impl<N: Net> Proxy<N> {
    /// Watches how much is in use, once per turn.
    pub(super) fn note_memory(&mut self) {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        let connections = self.clients.len() + upstreams.len();
        let buffers = context.pool.bytes_in_use() + context.net.kept_bytes();
        let used = buffers + connections * CONNECTION_BYTES;
        let least = context.limits.trim_bytes;
        context.trim.note(used, least, &mut context.wheel, context.now.instant);
    }

    /// A peak is over: what it has left goes back to the system.
    pub(super) fn trim(&mut self) {
        self.clients.shrink();
        self.ready.shrink_to_fit();
        self.exchanges.trim();
    }
}
