//! The embedded durable broker: a log in one SQLite file.
