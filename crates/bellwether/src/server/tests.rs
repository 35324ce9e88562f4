//! Connections over an in-process socket, with time paused.
