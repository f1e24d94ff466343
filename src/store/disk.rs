//! The disk under the in-memory home: what a simulation supplies, so that it owns every write and sync.

use std::io;

/// An append-only file. What was appended and not synced may be lost, whole or in part, when it crashes.
pub trait Disk: Send {
    /// Everything on it.
    ///
    /// # Errors
    /// When the disk fails.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Adds octets at its end; not durable before the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// When the disk fails or is full.
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// When the disk fails: what was appended since the last sync may or may not be there.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts it to its first `length` octets: how a frame that a crash tore is taken off its end.
    ///
    /// # Errors
    /// When the disk fails.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}
