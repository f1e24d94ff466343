//! Fees: notice (XF1), payment order (XF2), payment confirmation (XF3).

use super::read::{Read, child, fault, needed, text, text_at};
use super::write::Signatory;
use super::writer::DocumentWriter;
use crate::codec::xml::Element;
use crate::model::{BankAccount, FeeNotice, Money, PaymentConfirmation, PaymentOrder, PaymentOutcome};

pub(super) fn notice(root: Element<'_>) -> Read<FeeNotice> {
    Ok(FeeNotice {
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        application: text(root, "Declaration/ID")?,
        price: price(root)?,
        payee: account(root, "Payee")?,
        due_by: needed(root, "ExpirationDateTime")?,
        reason: text(root, "Reason")?,
    })
}

pub(super) fn order(root: Element<'_>) -> Read<PaymentOrder> {
    Ok(PaymentOrder {
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        application: text(root, "Declaration/ID")?,
        fee: text(root, "FeeNoticeID")?,
        price: price(root)?,
        payer: account(root, "Payer")?,
    })
}

pub(super) fn confirmation(root: Element<'_>) -> Read<PaymentConfirmation> {
    let outcome = match &*text(root, "Status/NameCode")? {
        PAID => PaymentOutcome::Paid {
            reference: text(root, "BankReferenceID")?,
            at: needed(root, "BookingDateTime")?,
        },
        _ => PaymentOutcome::Refused { reason: text_at(root, "Reason").unwrap_or_default() },
    };
    Ok(PaymentConfirmation {
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        application: text(root, "Declaration/ID")?,
        fee: text(root, "FeeNoticeID")?,
        order: text(root, "PaymentOrderID")?,
        price: price(root)?,
        outcome,
    })
}

fn price(root: Element<'_>) -> Read<Money> {
    let element = child(root, "FeeAmount")?;
    let currency = element.attribute("", "currencyID").unwrap_or_default().trim();
    let currency = currency.parse().map_err(|_| fault(element, "it has no currency"))?;
    Ok(Money { amount: needed(root, "FeeAmount")?, currency })
}

fn account(root: Element<'_>, name: &str) -> Read<BankAccount> {
    let account = child(root, name)?;
    Ok(BankAccount { name: text(account, "Name")?, account: text(account, "AccountID")? })
}

/// XF1, from an agency to the gateway.
#[must_use]
pub fn write_fee_notice(notice: &FeeNotice, by: Signatory<'_>) -> String {
    DocumentWriter::write("GOVCBRXF1", |out| {
        out.leaf("ID", &notice.number);
        out.leaf("IssueDateTime", notice.issued_at);
        out.amount("FeeAmount", &notice.price);
        out.leaf("ExpirationDateTime", notice.due_by);
        write_account(out, "Payee", &notice.payee);
        out.authenticator(by);
        out.element("Declaration", |out| out.leaf("ID", &notice.application));
        out.text("Reason", Some(&notice.reason));
    })
}

/// XF2, from whoever lodged to the gateway.
#[must_use]
pub fn write_payment_order(order: &PaymentOrder) -> String {
    DocumentWriter::write("GOVCBRXF2", |out| {
        out.leaf("ID", &order.number);
        out.leaf("IssueDateTime", order.issued_at);
        out.element("Declaration", |out| out.leaf("ID", &order.application));
        out.leaf("FeeNoticeID", &order.fee);
        out.amount("FeeAmount", &order.price);
        write_account(out, "Payer", &order.payer);
    })
}

/// XF3, from the gateway to agency and broker. A refusal that the bank gives no reason for says so.
#[must_use]
pub fn write_payment_confirmation(confirmation: &PaymentConfirmation) -> String {
    DocumentWriter::write("GOVCBRXF3", |out| {
        let PaymentConfirmation { number, issued_at, application, fee, order, price, outcome } = confirmation;
        let is_paid = matches!(outcome, PaymentOutcome::Paid { .. });
        out.leaf("ID", number);
        out.leaf("IssueDateTime", issued_at);
        out.element("Status", |out| out.leaf("NameCode", if is_paid { PAID } else { REFUSED }));
        out.element("Declaration", |out| out.leaf("ID", application));
        out.leaf("FeeNoticeID", fee);
        out.leaf("PaymentOrderID", order);
        out.amount("FeeAmount", price);
        match outcome {
            PaymentOutcome::Paid { reference, at } => {
                out.leaf("BankReferenceID", reference);
                out.leaf("BookingDateTime", at);
            }
            PaymentOutcome::Refused { reason } => {
                let reason = Some(reason.trim()).filter(|reason| !reason.is_empty());
                out.text("Reason", reason.or(Some("The bank gives no reason")));
            }
        }
    })
}

fn write_account(out: &mut DocumentWriter, name: &str, account: &BankAccount) {
    out.element(name, |out| {
        out.name(&account.name);
        out.leaf("AccountID", &account.account);
    });
}

const PAID: &str = "PAID";
const REFUSED: &str = "REFUSED";

#[cfg(test)]
mod tests {
    use super::super::read_document;
    use super::*;
    use crate::codec::catalogue::Catalogue;
    use crate::model::{Document, DocumentCode, Timestamp};

    fn read(code: &str, text: &str) -> Document {
        let code: DocumentCode = code.parse().expect("a code");
        read_document(Catalogue::built_in(), &code, text.as_bytes(), Timestamp::EPOCH)
            .unwrap_or_else(|findings| panic!("{findings:?} in\n{text}"))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_259_629_200_000).plus(std::time::Duration::from_secs(seconds))
    }

    fn account(name: &str, account: &str) -> BankAccount {
        BankAccount { name: name.into(), account: account.into() }
    }

    fn won(amount: &str) -> Money {
        Money { amount: amount.parse().expect("a number"), currency: "KRW".parse().expect("a currency") }
    }

    #[test]
    fn notices_and_orders_read_back() {
        let notice = FeeNotice {
            number: "F-1".into(),
            issued_at: at(0),
            application: "X01-20091201-0001".into(),
            price: won("30000.5"),
            payee: account("Agency & sons", "011-17-000381"),
            due_by: at(86_400),
            reason: "Laboratory test".into(),
        };
        let by = Signatory { agency: "KFDA", officer: Some("Kim") };
        assert_eq!(read("GOVCBRXF1", &write_fee_notice(&notice, by)), Document::FeeNotice(notice));
        let order = PaymentOrder {
            number: "PO-1".into(),
            issued_at: at(1),
            application: "X01-20091201-0001".into(),
            fee: "F-1".into(),
            price: won("0.001"),
            payer: account("Payer", "088-22-114477"),
        };
        assert_eq!(read("GOVCBRXF2", &write_payment_order(&order)), Document::PaymentOrder(order));
    }

    #[test]
    fn confirmations_read_back_also_when_the_bank_says_little() {
        let confirmation = |outcome| PaymentConfirmation {
            number: "pc-1".into(),
            issued_at: at(2),
            application: "X01-20091201-0001".into(),
            fee: "F-1".into(),
            order: "PO-1".into(),
            price: won("30000"),
            outcome,
        };
        let refused = |reason: &str| PaymentOutcome::Refused { reason: reason.into() };
        let outcomes = [PaymentOutcome::Paid { reference: "B-1".into(), at: at(1) }, refused("No funds")];
        for outcome in outcomes {
            let written = confirmation(outcome);
            let text = write_payment_confirmation(&written);
            assert_eq!(read("GOVCBRXF3", &text), Document::PaymentConfirmation(written));
        }
        let text = write_payment_confirmation(&confirmation(refused(" ")));
        let expected = confirmation(refused("The bank gives no reason"));
        assert_eq!(read("GOVCBRXF3", &text), Document::PaymentConfirmation(expected));
    }
}
