//! Strategies by name, for `-s` and help. Decides nothing about what they do.

use super::value::none_of;
use crate::balance::Strategy;

/// Canonical name, aliases, explanation.
type Name = (&'static str, &'static [&'static str], &'static str);

/// The one place to swap for the table of `balance`.
const NAMES: [(Name, Strategy); 11] = [
    (
        (
            "first",
            &["n2one"],
            "always the first healthy one, in the given order",
        ),
        Strategy::First,
    ),
    (
        ("rr", &["round-robin"], "in turn, by weight"),
        Strategy::RoundRobin,
    ),
    (
        ("rand", &["random"], "at random, by weight"),
        Strategy::Random,
    ),
    (
        (
            "least-conn",
            &["lc"],
            "fewest requests in flight, by weight",
        ),
        Strategy::LeastConn,
    ),
    (
        ("least-time", &["lrt"], "lowest average response time"),
        Strategy::LeastTime,
    ),
    (
        (
            "least-load",
            &["load"],
            "fewest requests, as its health check says",
        ),
        Strategy::LeastLoad,
    ),
    (
        ("rank", &[], "at random, the faster its probes the likelier"),
        Strategy::Rank,
    ),
    (
        ("p2c", &[], "the less busy of two random ones"),
        Strategy::PowerOfTwo,
    ),
    (
        ("source", &[], "the same one for the same client address"),
        Strategy::Source,
    ),
    (
        ("uri", &[], "the same one for the same path"),
        Strategy::Uri,
    ),
    (
        ("header", &[], "the same one for the same --hash-field"),
        Strategy::Header,
    ),
];

/// Every canonical name with its aliases and its explanation, in the order of help.
pub fn names() -> impl Iterator<Item = Name> {
    NAMES.into_iter().map(|(name, _)| name)
}

/// The canonical name of a strategy.
pub fn name(strategy: Strategy) -> &'static str {
    let found = NAMES.iter().find(|(_, named)| *named == strategy);
    found.expect("every strategy has a name").0.0
}

/// The strategy of that name or alias; the error lists the names and suggests the nearest.
pub fn parse(text: &str) -> Result<Strategy, String> {
    let is_named = |(name, aliases, _): &Name| *name == text || aliases.contains(&text);
    if let Some((_, strategy)) = NAMES.iter().find(|(names, _)| is_named(names)) {
        return Ok(*strategy);
    }
    let canonical: Vec<&str> = names().map(|(name, ..)| name).collect();
    let all = names().flat_map(|(name, aliases, _)| [&[name], aliases].concat());
    Err(none_of(text, &canonical, all))
}
