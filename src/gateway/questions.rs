//! Questions that were put to partners and are not answered yet (ebMS 2.0, 7 and 8). Nothing rests on them: a stop
//! forgets them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::engine::Heard;
use crate::model::MessageId;

/// Who waits for the answer to which question.
#[derive(Default)]
pub(super) struct Questions {
    open: Mutex<BTreeMap<MessageId, oneshot::Sender<Heard>>>,
    asked: AtomicU64,
}

impl Questions {
    /// A number that no other question of this process has.
    pub(super) fn number(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the answer to a question will be told, until the receiver is dropped.
    pub(super) fn ask(&self, message_id: MessageId) -> oneshot::Receiver<Heard> {
        let (tell, told) = oneshot::channel();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, waiting| !waiting.is_closed());
        open.insert(message_id, tell);
        told
    }

    /// Tells whoever waits; the first answer counts.
    pub(super) fn answered(&self, heard: Heard) {
        let waiting = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&heard.about);
        if let Some(waiting) = waiting {
            // Whoever asked may have given up.
            drop(waiting.send(heard));
        }
    }
}
