//! guanka's only doors to the outside: files, processes, network, clock, stores, nginx, managers.
//! Nothing here decides and nothing here prints.

pub mod adoption;
pub mod build;
pub mod cgroup;
pub mod clock;
pub mod collect;
pub mod controller;
pub mod files;
pub mod hash;
pub mod hostroot;
pub mod http;
pub mod interrupt;
pub mod load;
pub mod logs;
pub mod managers;
pub mod obstacle;
pub mod plain;
pub mod ports;
pub mod probe;
pub mod process;
pub mod prove;
pub mod proxy;
pub mod releases;
pub mod rotate;
pub mod signals;
mod sockets;
pub mod store;
pub mod tls;
pub mod transport;
