//! Parses systemd units.
