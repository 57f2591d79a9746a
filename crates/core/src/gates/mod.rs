//! The gates.
pub mod anytime;
pub mod compare;
#[cfg(test)]
mod dice;
pub mod dispersion;
pub mod fixed;
pub mod special;
use serde::{Deserialize, Serialize};
/// Form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One.
    Fixed,
    /// Any.
    AnyTime,
}
