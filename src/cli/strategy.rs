//! Strategies by name, for `-s` and help, from the table of `balance`.

use super::value::not_one_of;
use crate::balance::{NAMES, Strategy};

/// Every canonical name with its aliases and its explanation, in the order of help.
pub fn names() -> impl Iterator<Item = (&'static str, &'static [&'static str], &'static str)> {
    NAMES.iter().map(|row| (row.name, row.aliases, row.about))
}

/// The canonical name of a strategy.
pub fn name(strategy: Strategy) -> &'static str {
    strategy.name()
}

/// The canonical names.
pub fn all() -> Vec<&'static str> {
    names().map(|(name, ..)| name).collect()
}

/// The strategy of that name or alias; the error lists the names and suggests the nearest.
pub fn parse(text: &str) -> Result<Strategy, String> {
    Strategy::from_name(text).ok_or_else(|| {
        let canonical = all();
        let all = names().flat_map(|(name, aliases, _)| [&[name], aliases].concat());
        not_one_of(text, &canonical, all)
    })
}
