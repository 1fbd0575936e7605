//! How a process of ours lives: supervised tasks, drain, readiness, signals, logging, admin server, environment.
