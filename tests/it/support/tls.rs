//! A certificate authority of one test, and TLS in front of a plain server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// An authority and the certificate that it gave to `localhost` and `127.0.0.1`, as PEM files.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// Makes them.
    pub(crate) fn new() -> Certificates {
        Certificates::with(&["localhost", "127.0.0.1"], |_| ())
    }

    /// Makes them with a certificate for other names, or with something else of it changed.
    pub(crate) fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificates {
        let folder = tempfile::Builder::new().prefix("uw-tls-").tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate for one that signed itself if both have the same name
        authority.distinguished_name.push(DnType::CommonName, "authority of a test");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut server = CertificateParams::new(names).unwrap();
        change(&mut server);
        let server = server.signed_by(&key, &authority).unwrap();
        let files = [
            ("authority.pem", authority.pem()),
            ("server.pem", server.pem()),
            ("key.pem", key.serialize_pem()),
        ];
        for (name, pem) in files {
            std::fs::write(folder.path().join(name), pem).unwrap();
        }
        Certificates(folder)
    }

    /// The authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.0.path().join("authority.pem")
    }

    /// The server's certificate.
    pub(crate) fn server(&self) -> PathBuf {
        self.0.path().join("server.pem")
    }

    /// The server's key.
    pub(crate) fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn server_config(&self) -> ServerConfig {
        let chain = vec![CertificateDer::from_pem_file(self.server()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.key()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        config.with_no_client_auth().with_single_cert(chain, key).unwrap()
    }
}

/// Speaks TLS on a port and passes everything on to a plain server; ended with the value.
pub(crate) struct TlsFront {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsFront {
    /// In front of the server at `backend`.
    pub(crate) fn start(certificates: &Certificates, backend: SocketAddr) -> TlsFront {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(certificates.server_config()));
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(&listener, &acceptor, backend) => {}
                    _ = ended => {}
                }
            });
        });
        TlsFront { address, end: Some(end), thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the feed through it.
    pub(crate) fn url(&self) -> String {
        format!("wss://localhost:{}/socket", self.address.port())
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: &tokio::net::TcpListener, acceptor: &TlsAcceptor, backend: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        // a client that does not trust us, or leaves, is the test's business
        actix_rt::spawn(pass_on(client, acceptor.clone(), backend));
    }
}

async fn pass_on(client: TcpStream, acceptor: TlsAcceptor, backend: SocketAddr) -> io::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(backend).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
