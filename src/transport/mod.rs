//! HTTP and TLS sockets: bytes, deadlines, caps. No opinion about messages.
