//! The CNI plugin that brings a starting pod into the mesh, and the events it sends to the node agent.
