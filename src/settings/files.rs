//! The files that settings come from. An error describes the problem with the file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Maximum size of a secret or certificate file: real ones have a few KB, and a device such as /dev/zero has no end.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Time for what is no regular file, such as a pipe: without a writer the start would wait for it without a word.
const PIPE_PATIENCE: Duration = Duration::from_secs(5);

/// Reads a secret: the file's text, without the final newline.
pub(super) fn secret(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(contents(path)?).map_err(|_| "the file must hold UTF-8 text".to_owned())?;
    match text.trim_start_matches('\u{feff}').trim() {
        "" => Err("the file is empty".to_owned()),
        secret => Ok(secret.to_owned()),
    }
}

/// Returns whether a text is a path beyond doubt: of an existing file, or within an existing folder other than the root.
pub(super) fn is_path(path: &Path) -> bool {
    let is_named_folder = |folder: &Path| folder.file_name().is_some() && folder.is_dir();
    path.exists() || path.parent().is_some_and(is_named_folder)
}

/// Reads a PEM file with at least one certificate, all of them valid as trust anchors.
pub(super) fn root_certificates(path: &Path) -> Result<Vec<u8>, String> {
    let pem = contents(path)?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("the file is not PEM: {error}"))?;
        store.add(certificate).map_err(|error| format!("the file has a bad certificate: {error}"))?;
    }
    if store.is_empty() {
        return Err("the file must hold at least one certificate in PEM (BEGIN CERTIFICATE)".to_owned());
    }
    Ok(pem)
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    read(path).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => format!("the file {error}"),
        _ => format!("the file cannot be read: {error}"),
    })
}

/// Reads a file that has an end within the bounds of size and time.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path.metadata()?.is_file() { read_to_end(path) } else { read_within(path, PIPE_PATIENCE) }
}

fn read_to_end(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > MAX_FILE_BYTES {
        let text = format!("has more than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(contents)
}

/// Reads on a thread, which is left to itself after the limit: the process ends, as the setting is an error then.
fn read_within(path: &Path, limit: Duration) -> io::Result<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    thread::Builder::new().spawn(move || sender.send(read_to_end(&path)))?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        let text = format!("it has not been written to its end within {} s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file<T>(contents: &[u8], read: impl Fn(&Path) -> T) -> T {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), contents).unwrap();
        read(file.path())
    }

    #[test]
    fn a_secret_loses_the_newline_at_its_end() {
        assert_eq!(with_file(b"abc\n", secret), Ok("abc".to_owned()));
        assert_eq!(with_file(b"abc\r\n", secret), Ok("abc".to_owned()));
        assert_eq!(with_file("\u{feff}abc\r\n".as_bytes(), secret), Ok("abc".to_owned()));
    }

    #[test]
    fn a_file_without_a_secret_is_refused() {
        assert!(with_file(b"\n", secret).unwrap_err().contains("empty"));
        assert!(with_file(b"\xff", secret).unwrap_err().contains("UTF-8"));
        assert!(secret(Path::new("/nonexistent")).unwrap_err().contains("cannot be read"));
        assert!(secret(Path::new("/dev/zero")).unwrap_err().contains("more than"));
    }

    #[test]
    fn a_certificate_in_pem_is_taken() {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = key.cert.pem();
        assert_eq!(with_file(pem.as_bytes(), root_certificates), Ok(pem.into_bytes()));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(with_file(b"", root_certificates).unwrap_err().contains("at least one"));
        assert!(with_file(b"-----BEGIN CERTIFICATE-----\nAAAA", root_certificates).is_err());
        let no_der = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(with_file(no_der, root_certificates).unwrap_err().contains("bad certificate"));
    }

    fn pipe(folder: &Path, name: &str) -> std::path::PathBuf {
        let path = folder.join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        path
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_one_without_a_writer_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let silent = pipe(folder.path(), "silent");
        assert_eq!(
            read_within(&silent, Duration::from_millis(10)).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        let written = pipe(folder.path(), "written");
        let path = written.clone();
        // it waits for the reader
        let writer = thread::spawn(move || std::fs::write(path, "abc\n"));
        assert_eq!(read_within(&written, Duration::from_secs(60)).unwrap(), b"abc\n");
        writer.join().unwrap().unwrap();
    }
}
