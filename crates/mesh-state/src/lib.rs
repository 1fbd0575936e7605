//! The mesh as one node knows it: indexed, updated in batches, queried as one consistent view.
