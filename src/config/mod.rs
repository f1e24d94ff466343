//! Files to checked settings, parties, agreements and rules.
