//! Reports as text, JSON, Markdown and one self-contained HTML page.
