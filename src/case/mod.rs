//! The application and case layers.
