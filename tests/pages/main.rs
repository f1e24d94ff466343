//! Pages of docs/ that say what is so are held against what is so: the tables of states, the table of faults, and the
//! requirements of the standard that tests show.

mod conformance;
mod faults;
mod sources;
mod states;
