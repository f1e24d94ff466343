//! A practice authority for time stamps as a process (RFC 3161, 3.4): what is posted to it is answered by
//! `openssl ts`, so that a rehearsal, and a test, hears an authority that is not ours.
//!
//! Promises: one answer at a time, as serial numbers want it; a query that nobody can read gets a refusal of
//! `openssl ts`, not silence. Its clock is that of the machine: it proves nothing to anybody else.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::codec::time_stamp::{QUERY_TYPE, REPLY_TYPE};
use crate::config::AuthoritySettings;
use crate::transport::{Method, Request, Response, Server, ServerOptions, StatusCode, Tls, TlsContext};

/// An authority that listens.
pub struct Authority {
    server: Server,
}

impl Authority {
    /// Lays out what `openssl ts` works with, and listens.
    ///
    /// # Errors
    /// When there is no `openssl`, its directory cannot be written, or the address is taken.
    pub async fn start(settings: AuthoritySettings) -> Result<Self> {
        let directory = settings.directory.clone();
        let desk = Arc::new(Mutex::new(
            Desk::set_up(&settings).await.with_context(|| directory.display().to_string())?,
        ));
        let tls = Tls::new(TlsContext::load(&settings.tls)?);
        let handler = move |request: Request| {
            let desk = Arc::clone(&desk);
            async move { answer(&*desk.lock().await, request).await }
        };
        let options = ServerOptions {
            methods: vec![Method::POST],
            body_bytes_max: QUERY_BYTES_MAX,
            ..ServerOptions::default()
        };
        Ok(Self { server: Server::tls(settings.listen, tls, options, handler).await? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.address()
    }

    /// Stops listening.
    pub async fn stop(self, deadline: Duration) {
        self.server.shutdown(deadline).await;
    }
}

/// Where `openssl ts` works.
struct Desk {
    directory: PathBuf,
}

impl Desk {
    async fn set_up(settings: &AuthoritySettings) -> Result<Self> {
        let AuthoritySettings { certificate, key, policy, directory, .. } = settings;
        fs::create_dir_all(directory)?;
        let whole = |path: &Path| Ok::<_, anyhow::Error>(fs::canonicalize(path)?.display().to_string());
        let (certificate, key) = (whole(certificate)?, whole(key)?);
        let plain = |text: &str| !text.contains(['$', '\\', '#', '"', '\'', '\n']);
        ensure!(plain(&certificate) && plain(&key), "openssl cannot read a path with such a character");
        let configuration = format!(
            "[tsa]\ndefault_tsa = authority\n[authority]\nserial = serial\nsigner_cert = {certificate}\nsigner_key = {key}\n\
             signer_digest = sha256\ndefault_policy = {policy}\ndigests = sha256, sha384, sha512\naccuracy = secs:1\n\
             ess_cert_id_alg = sha256\n"
        );
        fs::write(directory.join(CONFIGURATION), configuration)?;
        let serial = directory.join(SERIAL);
        if !serial.exists() {
            fs::write(serial, "01\n")?;
        }
        let desk = Self { directory: directory.clone() };
        desk.openssl(&["version"]).await.context("openssl, which stamps")?;
        Ok(desk)
    }

    /// The answer to a query.
    async fn stamp(&self, query: &[u8]) -> Result<Vec<u8>> {
        let (asked, answered) = (self.directory.join(QUERY), self.directory.join(ANSWER));
        tokio::fs::write(&asked, query).await?;
        let made = self
            .openssl(&["ts", "-reply", "-config", CONFIGURATION, "-queryfile", QUERY, "-out", ANSWER])
            .await;
        // A refusal is an answer too, and is written though openssl then says that it failed.
        let answer = tokio::fs::read(&answered).await;
        if answer.is_ok() {
            tokio::fs::remove_file(&answered).await?;
        }
        match (answer, made) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(error)) => Err(error),
            (Err(error), Ok(())) => Err(error.into()),
        }
    }

    async fn openssl(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null()).kill_on_drop(true);
        let made = command.output().await?;
        if !made.status.success() {
            bail!("openssl: {}", String::from_utf8_lossy(&made.stderr).lines().last().unwrap_or_default());
        }
        Ok(())
    }
}

async fn answer(desk: &Desk, request: Request) -> Response {
    if request.header("content-type") != Some(QUERY_TYPE) {
        return Response::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("expected {QUERY_TYPE}\n"));
    }
    match desk.stamp(&request.body).await {
        Ok(answer) => Response::new(StatusCode::OK, REPLY_TYPE, answer),
        Err(error) => Response::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")),
    }
}

const CONFIGURATION: &str = "ts.conf";
const SERIAL: &str = "serial";
const QUERY: &str = "query.tsq";
const ANSWER: &str = "answer.tsr";
/// Octets of a query: a digest, a nonce and a policy take a hundred.
const QUERY_BYTES_MAX: usize = 4096;
