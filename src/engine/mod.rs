//! Every decision of the gateway: which records an event needs, and what follows from them.
