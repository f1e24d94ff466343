//! Open-loop load and the crypto floor.
