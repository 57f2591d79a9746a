//! SQLite stores: journal, metrics, audit.
