//! Golden tests: captured messages as octets, and what they become or how they are refused.

mod inspect;
mod wire;
