//! A small HTTP/1.1 client for probes of loopback ports: one request, bounded answer, time limit.
