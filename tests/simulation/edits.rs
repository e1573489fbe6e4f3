//! Edits of heads (`--header-up`, `--header-down`), and what they leave of a message's fields.

use super::kernel::Dice;
use super::wire::Head;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{Config, FieldEdit, Heads, Mode};

/// What may be edited on the way to a server, and on the way to a client.
const UP: [&str; 6] = [
    "X-Set-Up: env",
    "-X-Pad",
    "Cookie: only=1",
    "X-Forwarded-Proto: wss",
    "-x_forwarded_for",
    "Host: inner.test",
];
const DOWN: [&str; 2] = ["X-Set-Down: 1, 2", "-X_Answer_Pad"];

/// The edits of a run.
#[derive(Debug, Default)]
pub struct Edits {
    up: Vec<FieldEdit>,
    down: Vec<FieldEdit>,
}

/// Draws edits in every fourth run of HTTP mode.
pub fn draw(config: &mut Config, rng: &mut Rng) {
    if config.mode != Mode::Http || !rng.chance(250) {
        return;
    }
    let mut some = |from: &[&str], heads, edits: &mut Vec<FieldEdit>| {
        for text in from.iter().filter(|_| rng.chance(400)) {
            FieldEdit::add(text, heads, edits).expect("a good edit");
        }
    };
    some(&UP, Heads::Up, &mut config.header_up);
    some(&DOWN, Heads::Down, &mut config.header_down);
}

fn names(edits: &[FieldEdit], name: &str) -> bool {
    edits.iter().any(|edit| edit.name.replace('_', "-").eq_ignore_ascii_case(name))
}

impl Edits {
    pub fn new(config: &Config) -> Edits {
        Edits { up: config.header_up.clone(), down: config.header_down.clone() }
    }

    /// Trailers of requests and of responses, which could bring a removed field back, are dropped.
    pub fn drop_trailers(&self, heads: Heads) -> bool {
        match heads {
            Heads::Up => !self.up.is_empty(),
            Heads::Down => !self.down.is_empty(),
        }
    }

    /// Whether every request to a server has the same `Host`.
    pub fn set_host(&self) -> bool {
        names(&self.up, "host")
    }

    /// The fields that a server must see of a request that would have these.
    pub fn of_request(&self, mut fields: Vec<(String, String)>) -> Vec<(String, String)> {
        fields.retain(|(name, _)| !names(&self.up, name));
        let set = |edit: &FieldEdit| Some((edit.name.to_lowercase(), edit.value.clone()?));
        fields.extend(self.up.iter().filter_map(set));
        fields
    }

    /// The fields of a response of a server, which had `pad`, are as edited.
    pub fn check_response(&self, head: &Head, pad: &str, what: &str) {
        let pad = Some(pad).filter(|_| !names(&self.down, "x-answer-pad"));
        assert_eq!(head.one("x-answer-pad"), pad, "{what}");
        let set = self.down.iter().find(|edit| edit.name == "X-Set-Down");
        let set = set.and_then(|edit| edit.value.as_deref());
        assert_eq!(head.one("x-set-down"), set, "{what}");
    }
}
