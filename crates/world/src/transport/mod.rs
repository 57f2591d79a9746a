//! The framed, versioned protocol between the command line and an agent, over a local socket.

pub mod client;
pub mod frame;
pub mod server;
pub mod wire;
