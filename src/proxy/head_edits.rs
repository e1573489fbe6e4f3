//! The edits of `--header-up` and `--header-down`, made ready once for all messages.

use crate::config::FieldEdit;
use crate::http::edits::FieldEdits;

/// The edits of both directions; none where the heads go on as they are.
#[derive(Debug)]
pub struct HeadEdits {
    pub up: Option<FieldEdits>,
    pub down: Option<FieldEdits>,
}

impl HeadEdits {
    /// As configured for requests (`up`) and responses (`down`).
    pub fn new(up: &[FieldEdit], down: &[FieldEdit]) -> HeadEdits {
        HeadEdits { up: edits(up), down: edits(down) }
    }
}

fn edits(configured: &[FieldEdit]) -> Option<FieldEdits> {
    let mut edits = FieldEdits::default();
    for FieldEdit { name, value } in configured {
        match value {
            Some(value) => edits.set(name, value),
            None => edits.remove(name),
        }
    }
    (!configured.is_empty()).then_some(edits)
}
