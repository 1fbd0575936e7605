//! Workload registration: the stream on which nodes and other places report what runs there, both ends.
