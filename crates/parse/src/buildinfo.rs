//! Parses Go's build information in a binary.
