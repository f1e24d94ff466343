//! A delivery that has ended is sent anew, octet for octet and under its MessageId: what a partner lost, or never looked
//! at, it can have again (domain brief, 6: redelivery). What is quarantined goes when an operator has mended what was wrong.

use super::decide::Desk;
use super::due::{Under, under};
use super::step::{How, Reply, ReplyDraft, Step, Told};
use crate::model::{Delivery, DeliveryPurpose, DeliveryState};
use crate::store::Versioned;

/// How often a delivery may be sent anew.
pub(super) const AGAIN_MAX: u32 = 10;

/// An operator asks.
pub(super) fn asked_for(desk: Desk<'_>, by: &str, reason: &str) -> Step {
    let mut step = Step::default();
    let told = match &desk.view.delivery {
        None => Told::new(How::Nothing, "there is no such delivery"),
        Some(stored) => match step.let_go(desk, stored, &format!("{by}: {reason}")) {
            Ok(()) => {
                let Delivery { message_id, destination, .. } = &stored.value;
                Told::new(How::Done, format!("{message_id} goes to {destination} again"))
            }
            Err(why) => Told::new(How::Conflict, why),
        },
    };
    step.reply = ReplyDraft::Ready(Reply::Told(told));
    step
}

impl Step {
    /// As [`Step::send_again`]; what is quarantined goes as if nothing had been wrong with it.
    fn let_go(&mut self, desk: Desk<'_>, stored: &Versioned<Delivery>, why: &str) -> Result<(), String> {
        let delivery = &stored.value;
        if delivery.state != DeliveryState::Quarantined {
            return self.send_again(desk, stored, why);
        }
        let Some(Under { agreement, .. }) = under(desk, delivery) else {
            return Err(format!("agreement {} is not in force", delivery.cpa_id));
        };
        if agreement.reliability.message_order
            && delivery.order.is_none()
            && delivery.purpose != DeliveryPurpose::Signal
        {
            return Err(format!("agreement {} keeps an order in which it has no place", agreement.cpa_id));
        }
        self.rearm(desk, agreement, stored, why);
        if let Some(draft) = self.deliveries.last_mut() {
            goes_on(&mut draft.delivery);
        }
        Ok(())
    }

    /// Lets a delivery begin anew; why it cannot, in words for who asked.
    pub(super) fn send_again(
        &mut self,
        desk: Desk<'_>,
        stored: &Versioned<Delivery>,
        why: &str,
    ) -> Result<(), String> {
        let delivery = &stored.value;
        match delivery.state {
            DeliveryState::Delivered | DeliveryState::Rejected | DeliveryState::Expired => {}
            DeliveryState::Held => return Err("it is held back; an operator has to release it".to_owned()),
            DeliveryState::Quarantined => return Err("an operator has to look at it first".to_owned()),
            DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment => {
                return Err("it is on its way already".to_owned());
            }
        }
        if !delivery.sealed {
            return Err("it was never sent".to_owned());
        }
        if let Some(purged) = &delivery.purged {
            return Err(format!(
                "its octets were purged at {}; the archive {} has them",
                purged.at, purged.archive
            ));
        }
        if delivery.again >= AGAIN_MAX {
            return Err(format!("it was sent anew {AGAIN_MAX} times, which is the most"));
        }
        let agreement = desk.context.registry.agreement_of(delivery);
        let Some(agreement) = agreement.filter(|agreement| agreement.in_force(desk.now)) else {
            return Err(format!("agreement {} is not in force", delivery.cpa_id));
        };
        self.rearm(desk, agreement, stored, why);
        if let Some(draft) = self.deliveries.last_mut() {
            draft.delivery.again += 1;
            goes_on(&mut draft.delivery);
        }
        Ok(())
    }
}

/// Why it had ended holds no more; why it has ended by this already, does.
fn goes_on(delivery: &mut Delivery) {
    if !delivery.state.is_terminal() {
        delivery.reason.clear();
    }
}
