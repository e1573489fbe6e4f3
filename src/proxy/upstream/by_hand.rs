//! What an operator sets of one backend while the program runs, beside what the list says: it is in
//! force until it is set back, the backend is removed, or the program ends.

use super::Upstreams;
use super::cluster::Cluster;
use crate::balance::AdminState;
use crate::base::backend_id::BackendId;
use crate::config::BackendSpec;
use crate::net::Net;
use crate::proxy::context::LoopContext;
use crate::wire::by_hand::{ByHand, Wish};
use crate::wire::server::{self, NotFound};
use std::fmt;

/// The requests or sessions that a backend out of rotation still has.
pub struct Left(pub u32);

impl fmt::Display for Left {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => out.write_str("idle, it may be stopped"),
            1 => out.write_str("1 request left"),
            count => write!(out, "{count} requests left"),
        }
    }
}

/// The backends that have something set by hand, as the rest of a sentence; nothing for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(Vec<(String, ByHand)>);

impl fmt::Display for Kept {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, by_hand)) in self.0.iter().enumerate() {
            out.write_str(if at == 0 { "; set by hand and kept: " } else { ", " })?;
            write!(out, "{name} {by_hand}")?;
        }
        Ok(())
    }
}

impl ByHand {
    /// What is in force: the list's words, except for what was set by hand.
    pub(super) fn over(self, listed: &BackendSpec) -> BackendSpec {
        let admin = match self.wish {
            None => listed.admin,
            Some(Wish::Up) => AdminState::Ready,
            Some(Wish::Drain) => AdminState::Drain,
            Some(Wish::Down) => AdminState::Down,
        };
        BackendSpec { admin, weight: self.weight.unwrap_or(listed.weight), ..listed.clone() }
    }

    /// The same after a command, where the list says this. What it says anyway is not set; the rest
    /// stays as it is.
    fn after(self, change: ByHand, listed: &BackendSpec) -> ByHand {
        let is_listed = change.wish == Some(Wish::Up) && listed.admin == AdminState::Ready;
        ByHand {
            wish: change.wish.map_or(self.wish, |wish| Some(wish).filter(|_| !is_listed)),
            weight: change
                .weight
                .map_or(self.weight, |weight| Some(weight).filter(|it| *it != listed.weight)),
        }
    }
}

impl Cluster {
    /// What was set by hand of it.
    pub fn by_hand(&self, backend: BackendId) -> ByHand {
        self.backends[backend.index()].by_hand
    }

    /// Of these backends, those that have something set by hand.
    pub fn kept_of(&self, backends: impl Iterator<Item = BackendId>) -> Kept {
        let set = backends.map(|backend| (backend, self.by_hand(backend)));
        let set = set.filter(|(_, by_hand)| !by_hand.is_none());
        Kept(set.map(|(backend, by_hand)| (self.name(backend).to_owned(), by_hand)).collect())
    }

    /// The backends that take part and have something set by hand, each with its name.
    pub fn all_by_hand(&self) -> Vec<(String, ByHand)> {
        self.kept_of(self.serving().map(|(backend, _)| backend)).0
    }

    /// The backend that takes part and that an operator means by `wanted`.
    pub fn find(&self, wanted: &str) -> Result<BackendId, NotFound> {
        let serving = self.serving().map(|(backend, _)| (backend, self.name(backend)));
        let serving: Vec<(BackendId, &str)> = serving.collect();
        let place = server::find(wanted, serving.iter().map(|(_, name)| *name))?;
        Ok(serving[place].0)
    }
}

impl<N: Net> Upstreams<N> {
    /// Sets what `change` has of a backend; what changed, as a sentence. The event log has it, too.
    pub fn set_by_hand(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        change: ByHand,
    ) -> String {
        let before = self.cluster.by_hand(backend);
        let wanted = before.after(change, self.cluster.listed(backend));
        let old = self.cluster.set_by_hand(backend, wanted);
        self.revision += 1;
        let mut text = String::new();
        if change.wish.is_some() {
            text = match self.cluster.spec(backend).admin {
                now if now == old.admin => self.admin_state(backend, " already").to_string(),
                _ => self.admin_state_changed(cx, backend, old.admin, ", set by hand"),
            };
            text.push_str(&format!("; {}", self.standing(cx)));
        }
        if let Some(weight) = change.weight {
            let name = self.cluster.name(backend);
            let line = format!("{name} has the weight {weight}, before {}", old.weight);
            if weight != old.weight {
                cx.logs.event(format_args!("{line}, set by hand"));
            }
            let separator = if text.is_empty() { "" } else { "; " };
            text.push_str(&format!("{separator}{line}"));
        }
        text
    }
}
