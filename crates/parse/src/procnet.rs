//! Parses /proc/net/tcp.
