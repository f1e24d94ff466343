//! What a practice bank has booked and refused: one file of JSON lines, append-only and synced.
//!
//! Promises: under a key there is one booking at most, for ever; an order that was answered is answered the
//! same again, after any crash; a line is on stable storage before its answer leaves, and one that a crash
//! has torn was answered to nobody and is cut off.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::model::{BankAccount, CurrencyCode, Decimal, Timestamp};

/// What a bank is asked to book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The order that it is for.
    pub order: String,
    /// How much.
    pub amount: Decimal,
    /// Of what.
    pub currency: CurrencyCode,
    /// From whom.
    pub payer: BankAccount,
    /// To whom.
    pub payee: BankAccount,
    /// What for.
    #[serde(default)]
    pub purpose: String,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LedgerEntry {
    /// Money was moved.
    Booked {
        /// When.
        time: Timestamp,
        /// What the payment is known by.
        key: String,
        /// The bank's own number of the booking.
        reference: String,
        /// What was booked.
        transfer: Transfer,
    },
    /// An order was refused.
    Refused {
        /// When.
        time: Timestamp,
        /// What the payment is known by.
        key: String,
        /// The order.
        order: String,
        /// Why.
        reason: String,
    },
}

/// How a key stands.
#[derive(Clone, Debug, Default)]
struct Known {
    booked: Option<(String, Timestamp, Transfer)>,
    refused: BTreeMap<String, String>,
}

/// What the bank says of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Verdict {
    /// It is booked, now or before.
    Booked {
        /// The bank's own number of the booking.
        reference: String,
        /// When it was booked.
        booked_at: Timestamp,
    },
    /// It is refused, now or before.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Why an order is not even looked at.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The key is booked, and for something else.
    #[error("key {key} is booked for {amount} {currency} to {payee}")]
    OtherTransfer {
        /// The key.
        key: String,
        /// What is booked.
        amount: Decimal,
        /// Of what.
        currency: CurrencyCode,
        /// To which account.
        payee: String,
    },
    /// The ledger cannot be written: nothing is promised.
    #[error("the ledger: {0}")]
    Unwritten(#[from] io::Error),
}

/// An open ledger; one process at a time.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    known: BTreeMap<String, Known>,
    bookings: u64,
}

impl Ledger {
    /// The ledger file in a bank's directory.
    #[must_use]
    pub fn path_in(directory: &Path) -> PathBuf {
        directory.join("ledger.jsonl")
    }

    /// Opens the ledger of a directory, made if it is not there.
    ///
    /// # Errors
    /// When another process has it open, it cannot be read or written, or a line in its midst is damaged.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = Self::path_in(directory);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another practice bank has this ledger open"))?;
        let (entries, end) = replay(&file)?;
        file.set_len(end)?;
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        let mut ledger = Self { file, known: BTreeMap::new(), bookings: 0 };
        entries.into_iter().for_each(|entry| ledger.note(entry));
        Ok(ledger)
    }

    /// The whole entries of a ledger file. For readers beside the process that writes.
    ///
    /// # Errors
    /// When it cannot be read; a file that is not there yet is empty.
    pub fn entries(path: &Path) -> io::Result<Vec<LedgerEntry>> {
        match File::open(path) {
            Ok(file) => Ok(replay(&file)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What was said of a payment before: its booking, or the refusal of its last order.
    #[must_use]
    pub fn said(&self, key: &str) -> Option<(String, Verdict)> {
        let known = self.known.get(key)?;
        if let Some((reference, booked_at, transfer)) = &known.booked {
            let (reference, booked_at) = (reference.clone(), *booked_at);
            return Some((transfer.order.clone(), Verdict::Booked { reference, booked_at }));
        }
        let (order, reason) = known.refused.last_key_value()?;
        Some((order.clone(), Verdict::Refused { reason: reason.clone() }))
    }

    /// Answers an order: what was said before, or, for a new one, a refusal for this reason, or a booking.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn take(
        &mut self,
        key: &str,
        transfer: &Transfer,
        refuse: Option<&str>,
        time: Timestamp,
    ) -> Result<Verdict, LedgerError> {
        let known = self.known.get(key).cloned().unwrap_or_default();
        if let Some((reference, booked_at, booked)) = known.booked {
            let same = |a: &Transfer| (a.amount, a.currency.clone(), a.payee.clone());
            if same(&booked) != same(transfer) {
                let Transfer { amount, currency, payee, .. } = booked;
                let key = key.to_owned();
                return Err(LedgerError::OtherTransfer {
                    key,
                    amount,
                    currency,
                    payee: payee.account.to_string(),
                });
            }
            return Ok(Verdict::Booked { reference, booked_at });
        }
        if let Some(reason) = known.refused.get(&transfer.order) {
            return Ok(Verdict::Refused { reason: reason.clone() });
        }
        let (key, order) = (key.to_owned(), transfer.order.clone());
        if let Some(reason) = refuse {
            let reason = reason.to_owned();
            self.write(LedgerEntry::Refused { time, key, order, reason: reason.clone() })?;
            return Ok(Verdict::Refused { reason });
        }
        let reference = format!("B-{:06}", self.bookings + 1);
        let transfer = transfer.clone();
        self.write(LedgerEntry::Booked { time, key, reference: reference.clone(), transfer })?;
        Ok(Verdict::Booked { reference, booked_at: time })
    }

    fn write(&mut self, entry: LedgerEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.note(entry);
        Ok(())
    }

    fn note(&mut self, entry: LedgerEntry) {
        match entry {
            LedgerEntry::Booked { time, key, reference, transfer } => {
                self.known.entry(key).or_default().booked = Some((reference, time, transfer));
                self.bookings += 1;
            }
            LedgerEntry::Refused { key, order, reason, .. } => {
                self.known.entry(key).or_default().refused.insert(order, reason);
            }
        }
    }
}

/// Every whole line, and the offset behind the last.
fn replay(file: &File) -> io::Result<(Vec<LedgerEntry>, u64)> {
    let mut reader = BufReader::new(file);
    let (mut entries, mut at, mut line) = (Vec::new(), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok((entries, at));
        }
        let damaged = |error| io::Error::other(format!("damaged at octet {at}: {error}"));
        entries.push(serde_json::from_slice(&line).map_err(damaged)?);
        at += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(order: &str, amount: &str) -> Transfer {
        let account = |account: &str| BankAccount { name: "somebody".into(), account: account.into() };
        Transfer {
            order: order.to_owned(),
            amount: amount.parse().expect("a number"),
            currency: "KRW".parse().expect("a currency"),
            payer: account("088-22"),
            payee: account("011-17"),
            purpose: "test".to_owned(),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_259_629_200_000).plus(std::time::Duration::from_secs(seconds))
    }

    fn booked(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Booked { .. })
    }

    #[test]
    fn a_key_is_booked_once_whatever_is_asked_again() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let mut ledger = Ledger::open(directory.path()).expect("opens");
        let mut take = |key: &str, order: &str, amount: &str, refuse| {
            ledger.take(key, &transfer(order, amount), refuse, at(1))
        };
        let refused = take("k1", "PO-1", "100", Some("no funds")).expect("is written");
        assert_eq!(
            take("k1", "PO-1", "100", None).expect("is known"),
            refused,
            "the same order, the same answer"
        );
        let first = take("k1", "PO-2", "100", None).expect("is written");
        assert!(booked(&first));
        for order in ["PO-1", "PO-2", "PO-3"] {
            assert_eq!(take("k1", order, "100", Some("no funds")).expect("is known"), first, "{order}");
        }
        assert!(matches!(take("k1", "PO-2", "101", None), Err(LedgerError::OtherTransfer { .. })));
        let other = take("k2", "PO-2", "100", None).expect("is written");
        assert!(booked(&other) && other != first, "a booking of its own");
        assert!(Ledger::open(directory.path()).is_err(), "one process at a time");
    }

    #[test]
    fn what_was_answered_is_there_after_a_crash_and_a_torn_line_is_not() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let path = Ledger::path_in(directory.path());
        let mut ledger = Ledger::open(directory.path()).expect("opens");
        let first = ledger.take("k1", &transfer("PO-1", "100"), None, at(1)).expect("is written");
        ledger.take("k2", &transfer("PO-1", "100"), Some("no funds"), at(2)).expect("is written");
        drop(ledger);
        let whole = std::fs::read(&path).expect("is there");
        std::fs::write(&path, [whole.as_slice(), &whole[..20]].concat()).expect("writes");
        let mut ledger = Ledger::open(directory.path()).expect("opens");
        assert_eq!(std::fs::read(&path).expect("is there"), whole);
        assert_eq!(ledger.take("k1", &transfer("PO-9", "100"), None, at(9)).expect("is known"), first);
        let again = ledger.take("k2", &transfer("PO-1", "100"), None, at(9)).expect("is known");
        assert!(!booked(&again));
        assert_eq!(Ledger::entries(&path).expect("is read").len(), 2, "nothing was added");
        drop(ledger);
        std::fs::write(&path, [b"{}\n", whole.as_slice()].concat()).expect("writes");
        assert!(Ledger::open(directory.path()).is_err(), "damage is not passed over");
    }
}
