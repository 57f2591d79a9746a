//! Parses the JSON access log's lines.
