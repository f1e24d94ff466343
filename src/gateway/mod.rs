//! The async shell: dull on purpose.
