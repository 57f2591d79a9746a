//! guanka chores.
mod hostroot;
mod process;
mod setup;

fn main() {}
