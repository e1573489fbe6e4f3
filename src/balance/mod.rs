//! Which backend gets the next request: pure decisions over the figures the caller keeps current.

/// The strategies by which a backend can be chosen (`-s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Always the first eligible one, in the given order.
    First,
    /// In turn, by weight (smooth).
    RoundRobin,
    /// Uniformly at random, by weight.
    Random,
    /// Fewest in-flight pairs per weight.
    LeastConn,
    /// Lowest average response time.
    LeastTime,
    /// Fewest requests as reported by the health check.
    LeastLoad,
    /// At random, weighted by the rank of the last probe's time.
    Rank,
    /// The better of two random ones by in-flight pairs.
    PowerOfTwo,
    /// Consistent hash of the client's address, bounded load.
    Source,
    /// Consistent hash of the request target, bounded load.
    Uri,
    /// Consistent hash of a request field, bounded load.
    Header,
}
