//! The trusted certificates, for the feed and for Redis: the public roots and an additional one from `TLS_CA_FILE`.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// `TLS_CA_FILE` does not contain PEM certificates.
    #[error("TLS_CA_FILE holds no certificate that can be read (PEM expected): {0}")]
    Certificate(String),
    /// The library rejects its own defaults.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// Installs ring as the process' cryptography provider, before anything else uses TLS: the dependencies are built with
/// several providers, and rustls refuses to choose. To be called once at startup; repeated calls have no effect.
pub fn install_crypto() {
    // an error means that a provider is already installed
    drop(ring::default_provider().install_default());
}

/// Builds a client configuration that trusts the public roots and those in `extra_root_pem`, with HTTP/1.1 only.
pub fn client_config(extra_root_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_root_pem {
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TlsError::Certificate(error.to_string()))?;
            roots.add(certificate).map_err(|error| TlsError::Certificate(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(TlsError::Certificate("the file is empty".into()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Returns the public roots and `extra_root_pem` as PEM, for a client that accepts no other form.
#[must_use]
pub fn roots_pem(extra_root_pem: Option<&[u8]>) -> Vec<u8> {
    let mut pem = extra_root_pem.unwrap_or_default().to_vec();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.extend_from_slice(b"\n-----BEGIN CERTIFICATE-----\n");
        pem.extend_from_slice(BASE64_STANDARD.encode(root).as_bytes());
        pem.extend_from_slice(b"\n-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_roots_can_be_read_back() {
        let pem = roots_pem(None);
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        assert_eq!(certificates.unwrap(), webpki_root_certs::TLS_SERVER_ROOT_CERTS);
        assert!(client_config(Some(&pem)).is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(matches!(client_config(Some(b"")), Err(TlsError::Certificate(_))));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(client_config(Some(broken)), Err(TlsError::Certificate(_))));
    }
}
