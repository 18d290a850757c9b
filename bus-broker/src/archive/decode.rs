//! Reading a file of messages: bytes in, as they come, and entries out.
//!
//! It holds the bytes of at most one entry beside those that it was just given; a length that no
//! entry may have is refused before anything is waited for. After an error there is nothing more.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    ArchiveDescription, ArchiveEnd, ArchiveEntry, ArchiveError, BODY_BYTES_MAX, CHECKSUM_BYTES,
    DESCRIPTION_BYTES_MAX, ENTRY_HEAD_BYTES, HEAD_BYTES, MAGIC, VERSION, continued,
};

/// Takes the bytes of a file of messages apart.
#[derive(Debug, Default)]
pub struct ArchiveDecoder {
    bytes: BytesMut,
    /// Where `bytes` begins in the file.
    offset: u64,
    checksum: u32,
    description: Option<ArchiveDescription>,
    counted: ArchiveEnd,
    ended: bool,
}

impl ArchiveDecoder {
    /// At the first byte.
    pub fn new() -> ArchiveDecoder {
        ArchiveDecoder::default()
    }

    /// More bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What the file says of itself; `None` when more bytes are needed for that.
    ///
    /// # Errors
    /// `Foreign`, `Version`, or `Damaged`.
    pub fn description(&mut self) -> Result<Option<&ArchiveDescription>, ArchiveError> {
        if self.description.is_none() {
            let have = self.bytes.len().min(MAGIC.len());
            if self.bytes[..have] != MAGIC[..have] {
                return Err(ArchiveError::Foreign);
            }
            self.description = self.parse_description()?;
        }
        Ok(self.description.as_ref())
    }

    /// The next entry; `None` when more bytes are needed, or behind the end.
    ///
    /// # Errors
    /// Those of [`ArchiveDecoder::description`], `Damaged`, and `Trailing`.
    pub fn entry(&mut self) -> Result<Option<ArchiveEntry>, ArchiveError> {
        if self.description()?.is_none() {
            return Ok(None);
        }
        if self.ended {
            return match self.bytes.is_empty() {
                true => Ok(None),
                false => Err(ArchiveError::Trailing { offset: self.offset }),
            };
        }
        let Some(head) = self.bytes.first_chunk::<ENTRY_HEAD_BYTES>() else { return Ok(None) };
        let (length, tag, reserved) = (number(head) as usize, head[4], &head[5..]);
        if length > BODY_BYTES_MAX || reserved != [0; 3] {
            return Err(self.damaged("an entry has a length that there is not"));
        }
        let total = ENTRY_HEAD_BYTES + length + CHECKSUM_BYTES;
        if self.bytes.len() < total {
            return Ok(None);
        }
        self.check(ENTRY_HEAD_BYTES + length)?;
        let mut whole = self.bytes.split_to(total).freeze();
        whole.advance(ENTRY_HEAD_BYTES);
        whole.truncate(length);
        let entry = ArchiveEntry::parse(tag, whole).map_err(|what| self.damaged(what))?;
        self.count(&entry)?;
        self.offset += total as u64;
        Ok(Some(entry))
    }

    /// There are no more bytes: whether that is the file's end.
    ///
    /// # Errors
    /// `CutOff`; `Foreign` when it is too short to be one at all.
    pub fn finish(&self) -> Result<(), ArchiveError> {
        match (self.ended, self.offset + self.bytes.len() as u64) {
            (true, _) => Ok(()),
            (false, offset) if offset < MAGIC.len() as u64 => Err(ArchiveError::Foreign),
            (false, offset) => {
                Err(ArchiveError::CutOff { offset, messages: self.counted.messages })
            }
        }
    }

    /// What was read so far.
    pub fn counted(&self) -> &ArchiveEnd {
        &self.counted
    }

    fn parse_description(&mut self) -> Result<Option<ArchiveDescription>, ArchiveError> {
        let Some(head) = self.bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let found = u16::from_le_bytes([head[8], head[9]]);
        if found != VERSION {
            return Err(ArchiveError::Version { found, known: VERSION });
        }
        let length = number(&head[12..]) as usize;
        if length > DESCRIPTION_BYTES_MAX || head[10..12] != [0; 2] {
            return Err(self.damaged("a description has a length that there is not"));
        }
        let total = HEAD_BYTES + length + CHECKSUM_BYTES;
        if self.bytes.len() < total {
            return Ok(None);
        }
        self.check(HEAD_BYTES + length)?;
        let whole: Bytes = self.bytes.split_to(total).freeze();
        let parsed = serde_json::from_slice(&whole[HEAD_BYTES..HEAD_BYTES + length]);
        let description =
            parsed.map_err(|error| self.damaged(&format!("its description: {error}")))?;
        self.offset += total as u64;
        Ok(Some(description))
    }

    /// Checks the checksum that stands behind so many bytes, all of which are there.
    fn check(&mut self, length: usize) -> Result<(), ArchiveError> {
        let (covered, stored) = self.bytes.split_at(length);
        let checksum = continued(self.checksum, &[covered]);
        if number(stored) != checksum {
            return Err(self.damaged("a checksum is wrong"));
        }
        self.checksum = checksum;
        Ok(())
    }

    fn count(&mut self, entry: &ArchiveEntry) -> Result<(), ArchiveError> {
        match entry {
            ArchiveEntry::Message(archived) => {
                self.counted.messages += 1;
                self.counted.payload_bytes += archived.message.payload().len() as u64;
            }
            ArchiveEntry::Gap(_) => self.counted.gaps += 1,
            ArchiveEntry::End(end) => {
                let told = (end.messages, end.payload_bytes, end.gaps);
                let counted = &self.counted;
                if told != (counted.messages, counted.payload_bytes, counted.gaps) {
                    return Err(self.damaged("its end counts otherwise than what stands in it"));
                }
                self.ended = true;
            }
        }
        Ok(())
    }

    fn damaged(&self, what: &str) -> ArchiveError {
        let (offset, messages) = (self.offset, self.counted.messages);
        ArchiveError::Damaged { offset, messages, what: what.to_owned() }
    }
}

/// The number in the first four bytes; whoever calls has them.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
