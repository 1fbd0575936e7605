//! An incremental graph: collections derived by plain functions, recomputed only where an input changed.
