//! The open-loop load engine: due times never wait for answers.
