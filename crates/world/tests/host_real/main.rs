//! What the agent does on a host, against real nginx and real Supervisor below a temporary root.

mod closed;
mod doors;
mod nginx;
mod plain;
mod root;
mod sites;
mod streams;
mod supervisor;

#[test]
fn arm_program() {
    root::arm_program();
}

#[test]
fn installer() {
    nginx::installer();
}

#[test]
fn launcher() {
    supervisor::launcher();
}
