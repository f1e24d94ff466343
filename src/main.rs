//! The `gwanmun` program.

fn main() {}
