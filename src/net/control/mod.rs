//! Control sockets: unix sockets that only processes of the same user and of root can use. On Linux
//! their names are abstract, so that no file is left behind; elsewhere they are files of mode 0600 in
//! a directory of the user.

mod connection;
mod peer;
mod place;
mod socket;

pub use connection::{Answer, ask, connect, deadline, is_squatted, read_answer, read_until};
pub use peer::{Peer, user};
pub use place::names;
pub use socket::{ControlSocket, Instances};
