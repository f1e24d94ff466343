//! Bytes of earlier versions that stay readable (P19).
