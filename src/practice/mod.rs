//! Practice partners: they know the wire, never the gateway's inside.
