//! Signals: what access-log lines add up to: windows, counters, histograms, slots of sticky keys.
