//! Golden tests: captured messages as octets, and what they become or how they are refused. And the page that says which
//! requirement each test shows.

mod inspect;
mod page;
mod wire;
