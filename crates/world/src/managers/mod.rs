//! Process managers that keep the arms running.
