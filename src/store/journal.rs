//! The journal of the in-memory home: one framed, checksummed entry for each commit.
//!
//! ```text
//! frame    magic (4 octets)  length (4)  number (8)  CRC-32 of length, number and content (4)  content
//! content  changes, one after the other, each a tag and its fields
//! field    length (4)  octets
//! ```
//!
//! Numbers are big-endian; frame 0 holds the format. A torn frame is legal at the end only, where a crash
//! left it: a whole frame after it means that something that was durable is damaged.

use bytes::Bytes;

use super::payload::Blob;
use super::prepare::{Prepared, PreparedSealed};
use super::record::Encoded;
use super::{Damage, Forgotten, StoreError};

/// One change of a commit, as the journal keeps it.
pub(super) enum Change {
    /// A received message: its record, its body, its answer.
    Message { key: [String; 2], record: Encoded, body: Blob, response: Option<PreparedSealed> },
    /// A case and the keys that lead to it from now on.
    Case { id: String, record: Encoded, correlations: Vec<[String; 3]> },
    /// A delivery, and its octets when this commit seals it.
    Delivery { id: String, record: Encoded, sealed: Option<PreparedSealed> },
    /// What ended a delivery.
    Receipt { id: String, receipt: PreparedSealed },
    /// An approval, by what its record is called.
    Approval { key: String, record: Encoded },
    /// What a received message has become.
    Changed { key: [String; 2], record: Encoded },
    /// A sequence, by what its record is called.
    Sequence { key: String, record: Encoded },
    /// A sequence that is not known any more: direction, CPAId, ConversationId.
    Forgotten { key: [String; 3] },
    /// The text of an entry of the audit record.
    Entry { text: String },
    /// A signed head by how many entries it speaks for.
    Head { entries: u64, record: Encoded },
}

impl Change {
    /// The changes that a batch makes, in the order in which they are applied.
    pub(super) fn all_of(batch: Prepared) -> Vec<Self> {
        let message = batch.message.map(|message| {
            let key = message.new.record.key;
            Self::Message {
                key: [key.sender.to_string(), key.message_id.to_string()],
                record: message.encoded,
                body: message.body,
                response: message.response,
            }
        });
        let changed = batch.changed.map(|changed| {
            let key = changed.write.record.key;
            Self::Changed {
                key: [key.sender.to_string(), key.message_id.to_string()],
                record: changed.encoded,
            }
        });
        let case = batch.case.map(|case| Self::Case {
            id: case.write.case.id.to_string(),
            record: case.encoded,
            correlations: case
                .write
                .correlations
                .iter()
                .map(|key| {
                    let (kind, party, text) = key.columns(case.write.case.realm);
                    [kind.to_owned(), party.to_owned(), text.to_owned()]
                })
                .collect(),
        });
        let deliveries = batch.deliveries.into_iter().flat_map(|delivery| {
            let id = delivery.write.delivery.id.to_string();
            let receipt = delivery.receipt.map(|receipt| Self::Receipt { id: id.clone(), receipt });
            let delivery = Self::Delivery { id, record: delivery.encoded, sealed: delivery.sealed };
            [Some(delivery), receipt].into_iter().flatten()
        });
        let approvals = batch.approvals.into_iter().map(|approval| Self::Approval {
            key: approval.write.approval.key.to_string(),
            record: approval.encoded,
        });
        let sequences = batch.sequences.into_iter().map(|sequence| Self::Sequence {
            key: sequence.write.sequence.key.to_string(),
            record: sequence.encoded,
        });
        let entries = batch.audit.into_iter().map(|entry| Self::Entry { text: entry.text });
        let head = batch.head.map(|head| Self::Head { entries: head.entries, record: head.encoded });
        let records = message.into_iter().chain(changed).chain(case).chain(deliveries).chain(approvals);
        let forgotten = batch.forgotten.map(|Forgotten { key, .. }| Self::Forgotten {
            key: [key.direction.as_str().to_owned(), key.cpa_id.to_string(), key.conversation_id.to_string()],
        });
        records.chain(sequences).chain(forgotten).chain(entries).chain(head).collect()
    }

    fn write(&self, content: &mut Content) {
        match self {
            Self::Message { key: [sender, message_id], record, body, response } => {
                content.texts(&["message", sender, message_id]).record(record).blob(body);
                content.sealed(response.as_ref());
            }
            Self::Case { id, record, correlations } => {
                content.texts(&["case", id]).record(record).texts(&[&correlations.len().to_string()]);
                for [kind, party, text] in correlations {
                    content.texts(&[kind, party, text]);
                }
            }
            Self::Delivery { id, record, sealed } => {
                content.texts(&["delivery", id]).record(record).sealed(sealed.as_ref());
            }
            Self::Receipt { id, receipt } => {
                content.texts(&["receipt", id]).sealed(Some(receipt));
            }
            Self::Approval { key, record } => {
                content.texts(&["approval", key]).record(record);
            }
            Self::Changed { key: [sender, message_id], record } => {
                content.texts(&["changed", sender, message_id]).record(record);
            }
            Self::Sequence { key, record } => {
                content.texts(&["sequence", key]).record(record);
            }
            Self::Forgotten { key: [direction, cpa_id, conversation_id] } => {
                content.texts(&["forgotten", direction, cpa_id, conversation_id]);
            }
            Self::Entry { text } => {
                content.texts(&["entry", text]);
            }
            Self::Head { entries, record } => {
                content.texts(&["head", &entries.to_string()]).record(record);
            }
        }
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(match fields.text()?.as_str() {
            "message" => Self::Message {
                key: [fields.text()?, fields.text()?],
                record: fields.record()?,
                body: fields.blob()?,
                response: fields.sealed()?,
            },
            "case" => {
                let (id, record) = (fields.text()?, fields.record()?);
                let count: usize = fields.text()?.parse().ok()?;
                let key = |_| Some([fields.text()?, fields.text()?, fields.text()?]);
                Self::Case { id, record, correlations: (0..count).map(key).collect::<Option<_>>()? }
            }
            "delivery" => {
                Self::Delivery { id: fields.text()?, record: fields.record()?, sealed: fields.sealed()? }
            }
            "receipt" => Self::Receipt { id: fields.text()?, receipt: fields.sealed()?? },
            "approval" => Self::Approval { key: fields.text()?, record: fields.record()? },
            "changed" => Self::Changed { key: [fields.text()?, fields.text()?], record: fields.record()? },
            "sequence" => Self::Sequence { key: fields.text()?, record: fields.record()? },
            "forgotten" => Self::Forgotten { key: [fields.text()?, fields.text()?, fields.text()?] },
            "entry" => Self::Entry { text: fields.text()? },
            "head" => Self::Head { entries: fields.text()?.parse().ok()?, record: fields.record()? },
            _ => return None,
        })
    }
}

/// The frame with this number that holds these changes.
pub(super) fn frame(number: u64, changes: &[Change]) -> Vec<u8> {
    let mut content = Content(Vec::new());
    changes.iter().for_each(|change| change.write(&mut content));
    framed(number, &content.0)
}

/// Frame 0: what the journal is and in which format.
pub(super) fn first_frame() -> Vec<u8> {
    framed(0, &FORMAT.to_be_bytes())
}

/// What a journal holds.
pub(super) struct Replay {
    /// The changes of each commit, in order.
    pub(super) commits: Vec<Vec<Change>>,
    /// Octets up to the end of the last whole frame; 0 when not even the first one is whole.
    pub(super) length: usize,
}

/// Reads a journal up to the frame that a crash tore.
pub(super) fn replay(octets: &[u8]) -> Result<Replay, StoreError> {
    let damaged = |number: u64, detail: &str| {
        StoreError::Damaged(Damage { what: format!("journal frame {number}"), detail: detail.to_owned() })
    };
    let mut replay = Replay { commits: Vec::new(), length: 0 };
    for number in 0.. {
        let rest = octets.get(replay.length..).unwrap_or_default();
        let Some(content) = whole_frame(rest, number) else {
            let later = (1..rest.len()).any(|at| {
                rest.get(at..).is_some_and(|from| from.starts_with(MAGIC) && any_frame(from).is_some())
            });
            return if later { Err(damaged(number, "torn, with whole frames after it")) } else { Ok(replay) };
        };
        if number == 0 {
            let found = content.try_into().map_or(0, u32::from_be_bytes);
            if found > FORMAT {
                return Err(StoreError::Newer { found, known: FORMAT });
            }
        } else {
            let mut fields = Fields(content);
            let mut changes = Vec::new();
            while !fields.0.is_empty() {
                changes.push(Change::read(&mut fields).ok_or_else(|| damaged(number, "not understood"))?);
            }
            replay.commits.push(changes);
        }
        replay.length += HEAD_BYTES + content.len();
    }
    Ok(replay)
}

fn framed(number: u64, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a commit of the in-memory home is below 4 GiB");
    let mut frame = Vec::with_capacity(HEAD_BYTES + content.len());
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&number.to_be_bytes());
    frame.extend_from_slice(&sum(length, number, content).to_be_bytes());
    frame.extend_from_slice(content);
    frame
}

/// The content of the frame that `octets` begin with, when it is whole and has this number.
fn whole_frame(octets: &[u8], number: u64) -> Option<&[u8]> {
    any_frame(octets).filter(|(found, _)| *found == number).map(|(_, content)| content)
}

fn any_frame(octets: &[u8]) -> Option<(u64, &[u8])> {
    let rest = octets.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let (length, number) = (u32::from_be_bytes(*length), u64::from_be_bytes(*number));
    let content = rest.get(..usize::try_from(length).ok()?)?;
    (u32::from_be_bytes(*checksum) == sum(length, number, content)).then_some((number, content))
}

fn sum(length: u32, number: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_be_bytes());
    hasher.update(&number.to_be_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Content that is being written.
struct Content(Vec<u8>);

impl Content {
    fn field(&mut self, octets: &[u8]) -> &mut Self {
        let length = u32::try_from(octets.len()).expect("a field of the in-memory home is below 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(octets);
        self
    }

    fn texts(&mut self, texts: &[&str]) -> &mut Self {
        texts.iter().fold(self, |content, text| content.field(text.as_bytes()))
    }

    fn record(&mut self, record: &Encoded) -> &mut Self {
        let Encoded { form, version, checksum, text } = record;
        self.texts(&[&form.to_string(), &version.to_string(), &checksum.to_string(), text])
    }

    fn blob(&mut self, blob: &Blob) -> &mut Self {
        self.field(&blob.digest.0).field(blob.held())
    }

    fn sealed(&mut self, sealed: Option<&PreparedSealed>) -> &mut Self {
        match sealed {
            Some(sealed) => self.texts(&["sealed"]).record(&sealed.encoded).blob(&sealed.blob),
            None => self.texts(&["none"]),
        }
    }
}

/// Content that is being read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.field()?.to_vec()).ok()
    }

    fn record(&mut self) -> Option<Encoded> {
        Some(Encoded {
            form: self.text()?.parse().ok()?,
            version: self.text()?.parse().ok()?,
            checksum: self.text()?.parse().ok()?,
            text: self.text()?,
        })
    }

    fn blob(&mut self) -> Option<Blob> {
        let digest = crate::model::Digest(self.field()?.try_into().ok()?);
        Some(Blob { digest, octets: Bytes::copy_from_slice(self.field()?).into() })
    }

    fn sealed(&mut self) -> Option<Option<PreparedSealed>> {
        match self.text()?.as_str() {
            "sealed" => Some(Some(PreparedSealed { encoded: self.record()?, blob: self.blob()? })),
            "none" => Some(None),
            _ => None,
        }
    }
}

const MAGIC: &[u8; 4] = b"GWJ\x01";
const HEAD_BYTES: usize = 4 + 4 + 8 + 4;
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Vec<Vec<u8>> {
        let entry = |text: &str| [Change::Entry { text: text.to_owned() }];
        vec![first_frame(), frame(1, &entry("one")), frame(2, &entry("two"))]
    }

    #[test]
    fn a_torn_end_is_left_out_at_every_octet() {
        let [first, one, two] = journal().try_into().expect("three frames");
        let whole = [first.clone(), one.clone(), two].concat();
        for cut in 0..=whole.len() {
            let replay = replay(&whole[..cut]).expect("a torn end is legal");
            let frames = [first.len(), first.len() + one.len(), whole.len()];
            let last = frames.into_iter().filter(|end| *end <= cut).max().unwrap_or(0);
            assert_eq!(replay.length, last, "cut at {cut}");
            assert_eq!(
                replay.commits.len(),
                frames.iter().filter(|end| **end <= cut).count().saturating_sub(1)
            );
        }
    }

    #[test]
    fn a_flipped_bit_is_found_wherever_it_is() {
        let frames = journal();
        let whole = frames.concat();
        let last = whole.len() - frames[2].len();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            match replay(&bad) {
                Err(StoreError::Damaged(_)) => assert!(at < last, "flip at {at}"),
                Ok(replay) => assert!(at >= last && replay.commits.len() == 1, "flip at {at}"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_newer_journal_is_refused() {
        let newer = framed(0, &(FORMAT + 1).to_be_bytes());
        assert!(matches!(replay(&newer), Err(StoreError::Newer { .. })), "P19");
    }
}
