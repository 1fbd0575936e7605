//! What the mesh is made of: workloads, services and policies, their wire form, and the decisions over them.
