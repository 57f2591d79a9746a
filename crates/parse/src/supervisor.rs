//! Parses Supervisor ini files.
