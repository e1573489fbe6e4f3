//! The strategies and the names they go by on the command line (`-s`).

/// How a backend is chosen (`-s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Always the first eligible one, in the given order.
    First,
    /// In turn, by weight (smooth).
    RoundRobin,
    /// Uniformly at random, by weight.
    Random,
    /// Fewest requests in flight, relative to weight.
    LeastConn,
    /// Lowest expected response time.
    LeastTime,
    /// Fewest requests, as reported by its health check.
    LeastLoad,
    /// At random, weighted by the rank of the last probe's time.
    Rank,
    /// Of two random ones, the one with fewer requests in flight.
    PowerOfTwo,
    /// Consistent hash of the client's address, bounded load.
    Source,
    /// Consistent hash of the request target, bounded load.
    Uri,
    /// Consistent hash of a request field, bounded load.
    Header,
}

/// A row of [`NAMES`].
#[derive(Debug)]
pub struct Name {
    /// The strategy.
    pub strategy: Strategy,
    /// Its canonical name, as shown by `--help` and `-v`.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// What it picks, in one line.
    pub about: &'static str,
}

const fn row(
    strategy: Strategy,
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
) -> Name {
    Name { strategy, name, aliases, about }
}

/// Every strategy, in the order `--help` lists them; one row each.
pub const NAMES: [Name; 11] = [
    row(Strategy::First, "first", &["n2one"], "the first one that is up, in the given order"),
    row(
        Strategy::RoundRobin,
        "rr",
        &["round-robin", "roundrobin", "round_robin"],
        "in turn, by weight",
    ),
    row(Strategy::Random, "rand", &["random"], "at random, by weight"),
    row(
        Strategy::LeastConn,
        "least-conn",
        &["lc", "leastconn", "least_conn"],
        "fewest requests in flight, relative to weight",
    ),
    row(
        Strategy::LeastTime,
        "least-time",
        &["lrt", "leasttime", "least_time"],
        "lowest response time: average x (1 + in flight) / weight",
    ),
    row(
        Strategy::LeastLoad,
        "least-load",
        &["load"],
        "fewest requests, as its health check reports",
    ),
    row(Strategy::Rank, "rank", &[], "at random, faster probes more often"),
    row(Strategy::PowerOfTwo, "p2c", &[], "of two random ones, the one with fewer in flight"),
    row(Strategy::Source, "source", &["ip_hash"], "by hash of the client's address, bounded load"),
    row(Strategy::Uri, "uri", &["uri_hash"], "by hash of the request target, bounded load"),
    row(Strategy::Header, "header", &[], "by hash of a request field, bounded load"),
];

impl Strategy {
    /// The strategy with this name or alias, written exactly so.
    pub fn from_name(name: &str) -> Option<Strategy> {
        let named = |row: &&Name| row.name == name || row.aliases.contains(&name);
        NAMES.iter().find(named).map(|row| row.strategy)
    }

    /// The canonical name.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].name
    }
}
