//! The simulator: a deterministic world around the rollout.
