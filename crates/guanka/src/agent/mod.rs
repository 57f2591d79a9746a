//! The agent on a host: typed requests in, typed answers out.
