//! Reports of releases as text, JSON, Markdown and one self-contained HTML page: which gate, which
//! value with its interval and limit, the likely cause, what traffic saw, what to do next.

pub mod chart;
pub mod html;
pub mod markdown;
pub mod release;
pub mod text;
