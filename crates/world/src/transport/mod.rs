//! The framed, versioned protocol between the command line and an agent.
