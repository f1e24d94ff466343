//! What is under way: which of it was begun before a reload, and when all of that has ended.
//!
//! Whoever opens, seals or signs begins before it looks at what is in force, and ends when its commit is done. A reload puts
//! the new in force, then turns the page: what begins after that finds the new.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The page of now, and those before it.
pub(super) struct UnderWay(Mutex<Pages>);

struct Pages {
    now: Arc<watch::Sender<()>>,
    before: Vec<Arc<watch::Sender<()>>>,
}

/// Held by what is under way.
#[must_use]
pub(super) struct Begun {
    _page: watch::Receiver<()>,
}

impl Default for UnderWay {
    fn default() -> Self {
        Self(Mutex::new(Pages { now: page(), before: Vec::new() }))
    }
}

impl UnderWay {
    /// Something begins.
    pub(super) fn begin(&self) -> Begun {
        Begun { _page: self.with(|pages| pages.now.subscribe()) }
    }

    /// What begins from here on is on another page.
    pub(super) fn turn(&self) {
        self.with(|pages| {
            let before = std::mem::replace(&mut pages.now, page());
            pages.before.push(before);
        });
    }

    /// Ends when everything has ended that was begun before the page was turned last.
    pub(super) async fn ended(&self) {
        let before = self.with(|pages| pages.before.clone());
        for page in before {
            page.closed().await;
        }
        self.with(|pages| pages.before.retain(|page| !page.is_closed()));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Pages) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn page() -> Arc<watch::Sender<()>> {
    Arc::new(watch::Sender::new(()))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn it_ends_with_the_last_that_was_begun_before() {
        let under_way = UnderWay::default();
        let ended = || pin!(under_way.ended()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let first = under_way.begin();
        assert!(ended(), "nothing is reloaded");
        under_way.turn();
        let (second, also) = (under_way.begin(), under_way.begin());
        assert!(!ended(), "the first goes on");
        under_way.turn();
        drop(second);
        drop(first);
        assert!(!ended(), "one of the second page goes on");
        let _third = under_way.begin();
        drop(also);
        assert!(ended(), "what was begun since does not count");
    }
}
