//! Hostile values through every renderer, and broken texts through every parser. What a renderer
//! writes is read back by code that is not the renderer's; the only two ends allowed are a refusal
//! with its reason and exactly the intent. Everything follows from a tape of bytes, so that a
//! failing case can be kept and made small.

pub mod campaign;
pub mod corpus;
pub mod kept;
pub mod parsers;
pub mod reading;
pub mod renderers;
pub mod shrink;
pub mod tape;
pub mod target;
