//! How many deliveries to one destination may be in hand at once: opens slowly after a failure, so that a
//! partner that comes back is not run over, and a dead one costs one connection attempt at a time (P15).

/// The window of one destination. Lives in memory only; a restart starts it half open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    limit: u32,
    open: u32,
    in_hand: u32,
    since_growth: u32,
}

impl Window {
    /// A window that may open up to `limit` deliveries.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        Self { limit, open: limit.div_ceil(2), in_hand: 0, since_growth: 0 }
    }

    /// How many more deliveries may be taken in hand now.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.open.saturating_sub(self.in_hand)
    }

    /// Whether nothing is in hand.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_hand == 0
    }

    /// A delivery was taken in hand.
    pub fn take(&mut self) {
        self.in_hand += 1;
    }

    /// A place was taken for a delivery that was not sent after all.
    pub fn give_back(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
    }

    /// A delivery left the hand: the peer took it. Each full window of successes opens it by one.
    pub fn succeeded(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
        self.since_growth += 1;
        if self.since_growth >= self.open && self.open < self.limit {
            self.open += 1;
            self.since_growth = 0;
        }
    }

    /// A delivery left the hand: the peer could not be reached or did not take it.
    pub fn failed(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
        self.open = 1;
        self.since_growth = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_at_once_and_opens_slowly() {
        let mut window = Window::new(8);
        assert_eq!(window.room(), 4);
        window.take();
        window.failed();
        assert_eq!(window.room(), 1);
        let mut rooms = Vec::new();
        for _ in 0..6 {
            window.take();
            window.succeeded();
            rooms.push(window.room());
        }
        assert_eq!(rooms, [2, 2, 3, 3, 3, 4]);
    }

    #[test]
    fn a_place_given_back_counts_as_nothing() {
        let mut window = Window::new(8);
        let before = window.clone();
        window.take();
        assert!(!window.is_idle());
        window.give_back();
        assert_eq!(window, before);
        assert!(window.is_idle());
    }

    #[test]
    fn never_opens_past_its_limit() {
        let mut window = Window::new(2);
        for _ in 0..20 {
            window.take();
            window.succeeded();
        }
        assert_eq!(window.room(), 2);
    }
}
