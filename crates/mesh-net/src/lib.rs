//! Sockets as a mesh needs them: namespaces, original destinations, marks, descriptor passing, dial, listen, relay.
