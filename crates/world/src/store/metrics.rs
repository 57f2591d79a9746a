//! The metrics store: 10 s windows, disposable.
