//! Parses go.mod.
