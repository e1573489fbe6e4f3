//! Small formats as pure functions over bytes: headers of the PROXY protocol, and what two
//! processes of this program say to one another over the control socket (lines, names, states set
//! by hand, the message of a takeover).

pub mod by_hand;
pub mod command;
pub mod handover;
pub mod info;
pub mod line;
pub mod name;
pub mod proxy_protocol;
pub mod server;
pub mod ticket_keys;
