//! Reports of check runs and of releases as text, JSON, Markdown and one self-contained HTML page:
//! which gate, which value with its interval and limit, the likely cause, what traffic saw, what to
//! do next. A check is explained here too.

pub mod chart;
pub mod check;
pub mod explanation;
pub mod html;
mod inline;
pub mod markdown;
pub mod release;
pub mod text;
