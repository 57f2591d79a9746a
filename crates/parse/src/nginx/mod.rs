//! Parses nginx configuration into one tree of directives, includes resolved through callbacks so
//! that nothing here opens a file. A faulty text still gives every directive that could be read.

mod problem;
mod reader;
mod tokens;
mod version;

use guanka_core::facts::nginx::Directive;
use guanka_core::facts::{Problem, Reason};

pub use version::version;

/// Reads the main file and everything it includes.
///
/// `prefix` is the folder that relative includes start from (the main file's folder, in nginx).
/// `load` returns a file's bytes; `list` returns the files that match a pattern, whose order is
/// made bytewise here. Each `include` stays in the tree, and what it brings in stands behind it.
/// The second part names the files that could not be read.
pub fn read(
    main_file: &str,
    prefix: &str,
    load: &mut dyn FnMut(&str) -> Result<Vec<u8>, Reason>,
    list: &mut dyn FnMut(&str) -> Vec<String>,
) -> (Vec<Directive>, Vec<(String, Reason)>, Vec<Problem>) {
    reader::read(main_file, prefix, load, list)
}

/// Reads one text by itself: an `include` is a directive like any other and nothing is loaded.
pub fn parse_fragment(file: &str, text: &str) -> (Vec<Directive>, Vec<Problem>) {
    reader::fragment(file, text)
}
