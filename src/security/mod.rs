//! Octets to verified messages (open); decided answers to signed octets (seal).
