//! nginx: rendering, testing, the one reload, and the share directory.
