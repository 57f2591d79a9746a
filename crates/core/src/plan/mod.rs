//! The plan: what a release or an installation would change, as data that can be printed before
//! anything moves.

pub mod fit;
pub mod init;
pub mod keeping;
pub mod processors;
pub mod warm;
