//! The gates: how counts become a verdict. Exact bounds for one look, any-time bounds for many.
