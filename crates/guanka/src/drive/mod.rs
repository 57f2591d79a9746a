//! Drives a rollout: event into the journal, effects performed, their ends back as events.
