//! The framed, versioned protocol between the command line and an agent, over a local socket or one
//! ssh connection.

pub mod bootstrap;
pub mod bridge;
pub mod client;
pub mod files;
pub mod frame;
pub mod hosts;
pub mod line;
pub mod server;
pub mod ssh;
mod view;
pub mod wire;
