//! All commands with what is shown of them, for the man page and completions.

use super::sheet::Sheet;
use super::{ctl, get, httpserver, pages, replay, top};

/// The sheets of all commands that have options, the balancer itself first.
pub fn sheets() -> Vec<Sheet> {
    vec![
        pages::balance_sheet(),
        pages::demo_sheet(),
        httpserver::sheet(),
        get::sheet(),
        top::sheet(),
        ctl::sheet(),
        replay::sheet(),
    ]
}
