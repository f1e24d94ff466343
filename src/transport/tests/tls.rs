//! Who gets in: S15 (versions, suites), S16 (client certificates).

use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode, SslVersion};

use super::*;

#[tokio::test]
async fn a_registered_peer_posts_and_both_sides_know_the_other() {
    let world = World::new();
    let trader = world.digest("trader");
    let (server, endpoint) = tls_server_with(&world, ServerOptions::default(), move |request: Request| {
        assert_eq!(request.peer.certificate_der_sha256(), Some(trader));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/msh"));
        assert_eq!(request.header("soapaction"), Some("\"ebXML\""));
        echo(request)
    })
    .await;
    let response = client_of(&world, "trader").post(&endpoint, post("<a/>")).await.expect("answers");
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.content_type.as_deref(), Some("text/xml"));
    assert_eq!(response.body, "<a/>");
    assert_eq!(response.peer_certificate_der_sha256, world.digest("gateway"));
    assert_eq!(server.shutdown(PATIENCE).await, Drained::Whole);
}

//= ebms2 B.2.7 MUST: a client certificate that is expired, early, foreign or for another use is refused
#[tokio::test]
async fn certificates_out_of_order_are_refused_by_the_server() {
    let world = World::new();
    for party in ["expired", "early", "stranger", "server-only", "self-signed"] {
        let (server, endpoint) = tls_server(&world, ServerOptions::default()).await;
        let refused = client_of(&world, party).post(&endpoint, post("<a/>")).await.expect_err(party);
        assert_eq!(refused.kind, PostErrorKind::Tls, "{party}: {refused}");
        assert_eq!(server.counts().requests, 0, "{party}");
        assert_eq!(server.shutdown(PATIENCE).await, Drained::Whole);
    }
}

#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("is not poisoned").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn refused_certificates_are_logged_with_serial_and_cause() {
    let world = World::new();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    // Everything here runs on this thread.
    let _logging = tracing::subscriber::set_default(subscriber);
    let (_server, endpoint) = tls_server(&world, ServerOptions::default()).await;
    client_of(&world, "expired").post(&endpoint, post("<a/>")).await.expect_err("is refused");
    let logged = String::from_utf8(log.0.lock().expect("is not poisoned").clone()).expect("is text");
    let serial = format!("\"serial\":\"{}\"", world.serial("expired"));
    for expected in [events::TLS_REFUSED, "certificate has expired", &serial] {
        assert!(logged.contains(expected), "S16: {expected} in {logged}");
    }
}

#[tokio::test]
async fn certificates_out_of_order_are_refused_by_the_client() {
    let world = World::new();
    for party in ["expired", "early", "stranger", "self-signed"] {
        let server =
            Server::tls(LOOPBACK, world.tls(party), ServerOptions::default(), echo).await.expect(party);
        let endpoint = format!("https://{}/msh", server.address().expect("tcp")).parse().expect("is one");
        let refused = client_of(&world, "trader").post(&endpoint, post("<a/>")).await.expect_err(party);
        assert_eq!(refused.kind, PostErrorKind::Tls, "{party}: {refused}");
        assert!(refused.text.contains("serial"), "{party}: {refused}");
    }
}

//= ebms2 B.2.7 MUST: hierarchical and direct trust are both there
#[tokio::test]
async fn pinned_certificates_need_no_issuer_but_must_be_valid() {
    let world = World::new();
    for (party, accepted) in [("self-signed", true), ("stranger", true), ("self-signed-expired", false)] {
        let mut files = world.files("gateway");
        files.pinned = vec![world.path(&format!("{party}.pem"))];
        let tls = Tls::new(TlsContext::load(&files).expect("loads"));
        let server = Server::tls(LOOPBACK, tls, ServerOptions::default(), echo).await.expect("serves");
        let endpoint = format!("https://{}/", server.address().expect("tcp")).parse().expect("is one");
        let answer = client_of(&world, party).post(&endpoint, post("<a/>")).await;
        assert_eq!(answer.is_ok(), accepted, "{party}: {answer:?}");
    }
}

//= ebms2 B.2.7 MAY: revocation lists are kept to, and a stale one lets nobody in
#[tokio::test]
async fn with_revocation_lists_only_a_fresh_one_lets_in() {
    let world = World::new();
    let check = async |revoked: &[&str], days, accepted: bool| {
        let mut files = world.files("gateway");
        files.revocation_lists = vec![world.revocation_list(revoked, days)];
        let tls = Tls::new(TlsContext::load(&files).expect("loads"));
        let server = Server::tls(LOOPBACK, tls, ServerOptions::default(), echo).await.expect("serves");
        let endpoint = format!("https://{}/", server.address().expect("tcp")).parse().expect("is one");
        let answer = client_of(&world, "trader").post(&endpoint, post("<a/>")).await;
        assert_eq!(answer.is_ok(), accepted, "S16, S17: {revoked:?} {days:?}: {answer:?}");
    };
    check(&["kfda"], (-1, 1), true).await;
    check(&["kfda", "trader"], (-1, 1), false).await;
    check(&[], (-2, -1), false).await;
    check(&[], (1, 2), false).await;
}

#[tokio::test]
async fn nothing_is_sent_to_another_party_than_the_one_demanded() {
    let world = World::new();
    let (server, endpoint) = tls_server(&world, ServerOptions::default()).await;
    let client = client_of(&world, "trader");
    for (party, expected) in [("kfda", Err(PostErrorKind::WrongParty)), ("gateway", Ok(StatusCode::OK))] {
        let parties = [world.digest(party)];
        let posted = client.post(&endpoint, Post { parties: &parties, ..post("<a/>") }).await;
        assert_eq!(posted.map(|r| r.status).map_err(|e| e.kind), expected, "{party}");
    }
    assert_eq!(server.counts().requests, 1);
}

//= ebms2 B.2.7 MUST: the certificate of a server bears the name of its host
#[tokio::test]
async fn the_server_certificate_must_bear_the_name_of_the_host() {
    let world = World::new();
    let (server, _) = tls_server(&world, ServerOptions::default()).await;
    let port = server.address().expect("tcp").port();
    for (host, accepted) in [("127.0.0.1", true), ("localhost", true), ("127.0.0.2", false)] {
        let server = Server::tls(
            SocketAddr::new(host.parse().unwrap_or(LOOPBACK.ip()), 0),
            world.tls("gateway"),
            ServerOptions::default(),
            echo,
        );
        let server = server.await.expect("serves");
        let port = server.address().map_or(port, |address| address.port());
        let endpoint = format!("https://{host}:{port}/msh").parse().expect("is one");
        let answer = client_of(&world, "trader").post(&endpoint, post("<a/>")).await;
        assert_eq!(answer.is_ok(), accepted, "{host}: {answer:?}");
    }
}

/// What a stock TLS client with these settings gets from our server: the first octets of an answer, or the
/// reason there is none.
async fn stock_client(
    world: &World,
    endpoint: SocketAddr,
    versions: SslVersion,
    ciphers: Option<&'static str>,
    party: Option<&'static str>,
) -> Result<String, String> {
    let files = party.map(|party| world.files(party));
    let attempt = tokio::task::spawn_blocking(move || -> Result<String, String> {
        use std::io::{Read, Write};
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let mut connector = SslConnector::builder(SslMethod::tls_client()).map_err(|e| text(&e))?;
        connector.set_security_level(0);
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_min_proto_version(Some(versions)).map_err(|e| text(&e))?;
        connector.set_max_proto_version(Some(versions)).map_err(|e| text(&e))?;
        if let Some(ciphers) = ciphers {
            connector.set_cipher_list(ciphers).map_err(|e| text(&e))?;
        }
        if let Some(files) = files {
            connector.set_certificate_file(files.certificate, SslFiletype::PEM).map_err(|e| text(&e))?;
            connector.set_private_key_file(files.key, SslFiletype::PEM).map_err(|e| text(&e))?;
        }
        let stream = std::net::TcpStream::connect(endpoint).map_err(|e| text(&e))?;
        let mut stream = connector.build().connect("localhost", stream).map_err(|e| text(&e))?;
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .map_err(|e| text(&e))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|e| text(&e))?;
        Ok(answer)
    });
    attempt.await.expect("does not panic")
}

//= ebms2 B.2.7 MUST: transport encryption
//=   deviation: SSL 3 and TLS before 1.2 are refused (S15)
#[tokio::test]
async fn only_current_versions_and_authenticated_encryption_are_spoken() {
    let world = World::new();
    let (server, _) = tls_server(&world, ServerOptions::default()).await;
    let address = server.address().expect("tcp");
    let check = async |version, ciphers, party, accepted: bool| {
        let answer = stock_client(&world, address, version, ciphers, party).await;
        let statuses = answer.as_deref().map(statuses).unwrap_or_default();
        assert_eq!(statuses == [200], accepted, "{version:?} {ciphers:?} {party:?}: {answer:?}");
    };
    check(SslVersion::TLS1_3, None, Some("trader"), true).await;
    check(SslVersion::TLS1_2, None, Some("trader"), true).await;
    check(SslVersion::TLS1_2, Some("ECDHE-ECDSA-CHACHA20-POLY1305"), Some("trader"), true).await;
    check(SslVersion::TLS1_2, Some("ECDHE-ECDSA-AES128-SHA256"), Some("trader"), false).await;
    check(SslVersion::TLS1_1, Some("ALL:@SECLEVEL=0"), Some("trader"), false).await;
    check(SslVersion::TLS1, Some("ALL:@SECLEVEL=0"), Some("trader"), false).await;
    check(SslVersion::TLS1_3, None, None, false).await;
    check(SslVersion::TLS1_2, None, None, false).await;
}

#[tokio::test]
async fn a_replaced_context_holds_for_the_next_request() {
    let world = World::new();
    let tls = world.tls("gateway");
    let server = Server::tls(LOOPBACK, tls.clone(), ServerOptions::default(), echo).await.expect("serves");
    let endpoint = format!("https://{}/", server.address().expect("tcp")).parse().expect("is one");
    let client = client_of(&world, "trader");
    client.post(&endpoint, post("1")).await.expect("answers");

    let mut files = world.files("gateway");
    files.anchors = vec![world.path("other-ca.pem")];
    tls.replace(TlsContext::load(&files).expect("loads"));
    // The kept-alive connection answers once more and closes; the next one is refused.
    client.post(&endpoint, post("2")).await.expect("answers");
    let refused = client.post(&endpoint, post("3")).await.expect_err("is no longer trusted");
    assert_eq!(refused.kind, PostErrorKind::Tls, "{refused}");
    assert_eq!(server.counts().requests, 2);
}

#[test]
fn faults_in_files_name_the_file() {
    let world = World::new();
    let check = |change: &dyn Fn(&mut TlsFiles), expected: &str| {
        let mut files = world.files("gateway");
        change(&mut files);
        let error = TlsContext::load(&files).err().expect("is refused").to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|files| files.key = world.path("trader.key"), "does not belong to the certificate");
    check(&|files| files.key = world.path("ca.pem"), "expected an unencrypted PEM private key");
    check(&|files| files.certificate = world.path("missing.pem"), "missing.pem");
    check(&|files| files.anchors = vec![world.path("trader.key")], "trader.key: expected a PEM certificate");
    check(&|files| files.anchors = vec![], "expected at least one trust anchor");
}
