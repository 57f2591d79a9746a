//! Reports as text, JSON, Markdown and one self-contained HTML page.

pub mod check;
pub mod explanation;
