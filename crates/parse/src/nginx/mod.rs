//! Parses nginx configuration into one tree of directives.
