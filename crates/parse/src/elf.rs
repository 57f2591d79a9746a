//! Parses ELF headers.
