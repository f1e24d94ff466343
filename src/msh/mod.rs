//! The message layer: what an arriving message means, and one delivery's life.
