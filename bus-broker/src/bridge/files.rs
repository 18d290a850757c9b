//! The files of a bridge: its token, and what TLS needs.
//!
//! They are looked at before a bridge begins or becomes another one, and read again at each attempt to
//! connect, so that what they contain can be renewed.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

#[cfg(feature = "tls")]
use bus_client::BusUrl;
use bus_client::{ClientOptions, Token};

use super::fault::{BridgeFault, InvalidBridge, Setting};
use super::settings::BridgeConfig;

/// What is read of the file of a token; none is so long.
const TOKEN_FILE_BYTES_MAX: u64 = 64 * 1024;

impl BridgeConfig {
    /// How it connects to the other broker.
    ///
    /// # Errors
    /// When the file of its token has none.
    pub(super) fn options(&self) -> Result<ClientOptions, InvalidBridge> {
        let mut options = ClientOptions::default().insecure(self.insecure);
        let token = match &self.token_file {
            Some(path) => {
                let wrong = |text| self.invalid(BridgeFault::File(Setting::TokenFile, text));
                Some(read_token(path).map_err(wrong)?)
            }
            None => self.token.clone(),
        };
        if let Some(token) = token {
            options = options.token(token);
        }
        Ok(options.tls_files(self.tls.clone()))
    }

    /// The files that it names, with their keys.
    pub(crate) fn named_files(&self) -> Vec<(&'static str, &Path)> {
        let pair = self.tls.certificate.as_ref();
        let all = [
            (Setting::TokenFile, self.token_file.as_deref()),
            (Setting::Authority, self.tls.authority.as_deref()),
            (Setting::Certificate, pair.map(|(certificate, _)| certificate.as_path())),
            (Setting::Key, pair.map(|(_, key)| key.as_path())),
        ];
        let named =
            all.into_iter().filter_map(|(setting, path)| Some((setting.word(self.words), path?)));
        named.collect()
    }

    /// Whether all of its files can be used. A certificate that is out of date is no reason to say no: it
    /// ends, or keeps away, this one bridge, which says so at each attempt, and not the whole broker.
    ///
    /// # Errors
    /// When one cannot.
    pub(crate) fn check_files(&self) -> Result<(), InvalidBridge> {
        self.options()?;
        #[cfg(feature = "tls")]
        if matches!(self.url, BusUrl::Tls(_)) {
            self.check_tls()?;
        }
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn check_tls(&self) -> Result<(), InvalidBridge> {
        use bus_core::transport::{TlsClient, TlsFile};
        let wrong = |setting, text| self.invalid(BridgeFault::File(setting, text));
        let pair = self.tls.certificate.as_ref();
        let files = [
            (Setting::Authority, self.tls.authority.as_ref()),
            (Setting::Certificate, pair.map(|(certificate, _)| certificate)),
            (Setting::Key, pair.map(|(_, key)| key)),
        ];
        for (setting, path) in files {
            let Some(path) = path else { continue };
            check_regular(path).map_err(|text| wrong(setting, text))?;
        }
        let Err(error) = TlsClient::new(&self.tls) else { return Ok(()) };
        if error.is_out_of_date() {
            return Ok(());
        }
        let setting = match error.file() {
            TlsFile::Authority | TlsFile::ClientAuthority => Setting::Authority,
            TlsFile::Certificate => Setting::Certificate,
            TlsFile::Key => Setting::Key,
        };
        Err(wrong(setting, error.to_string()))
    }
}

/// Pipes and devices may keep whoever reads them for ever.
fn check_regular(path: &Path) -> Result<(), String> {
    let place = path.display();
    match std::fs::metadata(path) {
        Err(error) => Err(format!("cannot read {place}: {error}")),
        Ok(found) if !found.is_file() => Err(format!("{place} is no regular file")),
        Ok(_) => Ok(()),
    }
}

fn read_token(path: &Path) -> Result<Token, String> {
    check_regular(path)?;
    let place = path.display();
    let failed = |error: std::io::Error| format!("cannot read the token in {place}: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Token::new(text.trim()).map_err(|error| format!("{place} has no token: {error}"))
}
