//! A secret by which a client shows which user of the broker's configuration it is.
//!
//! It is never shown: neither by `Debug`, nor in an error about it.

use std::fmt;

use crate::error::{ErrorKind, Failure};
use crate::limits::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN};

/// A token, as `bus token` makes them: printable ASCII without spaces.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text is no token. It does not say what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a token: one has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable ASCII characters and no spaces (`bus token` makes them)"
)]
pub struct InvalidToken;

impl Token {
    /// Takes a text for a token.
    ///
    /// # Errors
    /// When it is shorter or longer than tokens are, or has characters that none has.
    pub fn new(text: &str) -> Result<Token, InvalidToken> {
        let fits = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len());
        match fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Token(text.to_owned())),
            false => Err(InvalidToken),
        }
    }

    /// The secret itself. Whoever asks for it keeps it out of logs.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(not shown)")
    }
}

impl From<InvalidToken> for Failure {
    fn from(error: InvalidToken) -> Failure {
        Failure::new(ErrorKind::InvalidArgument, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_checked_and_never_shown() {
        let secret = "bus_0123456789abcdef0123456789abcdef";
        let token = Token::new(secret).expect("a token");
        assert_eq!(token.secret(), secret);
        assert!(!format!("{token:?}").contains("0123"));
        for bad in ["", "short", "has a space in it, and is long enough", &"a".repeat(300)] {
            let error = Token::new(bad).expect_err(bad);
            assert!(bad.is_empty() || !error.to_string().contains(bad), "{error} shows it");
        }
    }
}
