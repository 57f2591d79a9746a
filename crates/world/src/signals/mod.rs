//! Signals on a host: follows access logs by device, inode, head and offset into windows.

pub mod follow;
pub mod position;
