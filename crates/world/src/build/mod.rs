//! Builds a Go program: chooses the toolchain on purpose, in a clean environment.
