//! Control bodies read back: what they say, as text to compare.

use bus_core::{FrameError, Kind, Notice, control};

/// What a control body says; `None` for a frame that has none.
pub fn read(kind: Kind, body: &[u8]) -> Result<Option<String>, String> {
    let said = match kind {
        Kind::Hello => said(control::decode_hello(body)),
        Kind::Welcome => said(control::decode_welcome(body)),
        Kind::Refuse | Kind::Goodbye | Kind::Failed | Kind::CallFailed | Kind::Unsettled => {
            said(control::decode_failure(kind, body))
        }
        Kind::Request => {
            return match control::decode_request(body) {
                Ok(command) => Ok(Some(format!("{command:?}"))),
                Err(error) => Err(format!("{error:?}")),
            };
        }
        Kind::Reply => said(control::decode_reply(body)),
        Kind::Notice => said(Notice::decode(body)),
        _ => return Ok(None),
    };
    said.map(Some)
}

fn said(read: Result<impl std::fmt::Debug, FrameError>) -> Result<String, String> {
    read.map(|value| format!("{value:?}")).map_err(|error| error.to_string())
}
