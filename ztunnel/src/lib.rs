//! The node proxy: mutual TLS and L4 policy for every pod of a node.
