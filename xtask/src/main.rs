//! guanka chores.
fn main() {}
