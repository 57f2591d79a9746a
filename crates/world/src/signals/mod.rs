//! Signals on a host: follows access logs by device, inode, head and offset into windows.

pub mod follow;
mod packed;
pub mod position;
