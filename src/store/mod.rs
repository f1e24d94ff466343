//! What a step writes and what a decision may read; SQLite and an in-memory home for it.
