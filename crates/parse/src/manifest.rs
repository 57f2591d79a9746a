//! Parses guanka.toml.
