//! Follows access logs by inode and offset into windows.
