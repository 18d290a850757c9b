//! Writing a file of messages: its bytes, piece by piece.
//!
//! It counts what it has written, so that the end says the truth. Nothing can follow the end: the
//! encoder is used up by it.

use bytes::BufMut;

use super::{
    ArchiveDescription, ArchiveEnd, ArchiveEntry, ArchiveError, ArchiveGap, ArchivedMessage,
    DESCRIPTION_BYTES_MAX, MAGIC, VERSION, continued,
};

/// Makes the bytes of a file of messages.
#[derive(Debug)]
pub struct ArchiveEncoder {
    checksum: u32,
    counted: ArchiveEnd,
}

impl ArchiveEncoder {
    /// Begins one; the bytes go first.
    ///
    /// # Errors
    /// `TooLong` when the description is.
    pub fn begin(
        description: &ArchiveDescription,
    ) -> Result<(ArchiveEncoder, Vec<u8>), ArchiveError> {
        let too_long = ArchiveError::TooLong { what: "the description" };
        let text = serde_json::to_vec(description).map_err(|_| too_long.clone())?;
        if text.len() > DESCRIPTION_BYTES_MAX {
            return Err(too_long);
        }
        let mut bytes = Vec::new();
        bytes.put_slice(&MAGIC);
        bytes.put_u16_le(VERSION);
        bytes.put_u16_le(0);
        // `DESCRIPTION_BYTES_MAX` fits.
        bytes.put_u32_le(text.len() as u32);
        bytes.put_slice(&text);
        let checksum = continued(0, &[&bytes]);
        bytes.put_u32_le(checksum);
        Ok((ArchiveEncoder { checksum, counted: ArchiveEnd::default() }, bytes))
    }

    /// The bytes of a message.
    ///
    /// # Errors
    /// `TooLong`; nothing is counted then.
    pub fn message(&mut self, message: ArchivedMessage) -> Result<Vec<u8>, ArchiveError> {
        let payload_bytes = message.message.payload().len() as u64;
        let bytes = self.entry(&ArchiveEntry::Message(message))?;
        self.counted.messages += 1;
        self.counted.payload_bytes += payload_bytes;
        Ok(bytes)
    }

    /// The bytes of a gap.
    ///
    /// # Errors
    /// `TooLong` when its reason is.
    pub fn gap(&mut self, gap: ArchiveGap) -> Result<Vec<u8>, ArchiveError> {
        let bytes = self.entry(&ArchiveEntry::Gap(gap))?;
        self.counted.gaps += 1;
        Ok(bytes)
    }

    /// What was written so far.
    pub fn counted(&self) -> &ArchiveEnd {
        &self.counted
    }

    /// The bytes of the end, and what the file comes to. Time, wholeness and reason are taken from
    /// what is given, the rest was counted.
    ///
    /// # Errors
    /// `TooLong` when its reason is.
    pub fn end(mut self, end: ArchiveEnd) -> Result<(Vec<u8>, ArchiveEnd), ArchiveError> {
        let counted =
            ArchiveEnd { at: end.at, whole: end.whole, reason: end.reason, ..self.counted.clone() };
        let bytes = self.entry(&ArchiveEntry::End(counted.clone()))?;
        Ok((bytes, counted))
    }

    fn entry(&mut self, entry: &ArchiveEntry) -> Result<Vec<u8>, ArchiveError> {
        let body = entry.encode()?;
        let mut bytes = Vec::with_capacity(body.len() + 16);
        // A body is at most `BODY_BYTES_MAX` long: each of its parts was checked.
        bytes.put_u32_le(body.len() as u32);
        bytes.put_u8(entry.tag());
        bytes.put_slice(&[0; 3]);
        bytes.put_slice(&body);
        self.checksum = continued(self.checksum, &[&bytes]);
        bytes.put_u32_le(self.checksum);
        Ok(bytes)
    }
}
