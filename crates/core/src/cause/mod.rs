//! Cause: which slice of the traffic explains what a gate blocked.
