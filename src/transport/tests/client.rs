//! Posting: reuse, stopping, hostile answers (S20), the admin socket.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let world = World::new();
    let (server, endpoint) = tls_server(&world, ServerOptions::default()).await;
    let client = client_of(&world, "trader");
    for body in ["1", "2", "3"] {
        assert_eq!(client.post(&endpoint, post(body)).await.expect("answers").body, body);
    }
    let counts = server.counts();
    assert_eq!((counts.connections_accepted, counts.requests), (1, 3));
    assert_eq!(client.idle_connections(), 1);
}

#[tokio::test]
async fn a_connection_that_was_only_made_serves_what_is_sent_next() {
    let world = World::new();
    let (server, endpoint) = tls_server(&world, ServerOptions::default()).await;
    let client = client_of(&world, "trader");
    let until = tokio::time::Instant::now() + PATIENCE;
    for (body, connections) in [("1", 1), ("2", 2)] {
        // The second is made although the first is idle; one of the two serves what is sent then.
        client.reach(&endpoint, &[], until).await.expect("connects");
        assert_eq!(client.idle_connections(), connections);
        client.post(&endpoint, post(body)).await.expect("answers");
        assert_eq!(server.counts().connections_accepted, connections as u64);
    }
}

/// Under TLS 1.3 a server judges our certificate once our part of the handshake has ended.
#[tokio::test]
async fn who_refuses_our_certificate_is_not_reached() {
    let world = World::new();
    let mut files = world.files("gateway");
    files.anchors = vec![world.path("other-ca.pem")];
    let tls = Tls::new(TlsContext::load(&files).expect("loads"));
    let server = Server::tls(LOOPBACK, tls, ServerOptions::default(), echo).await.expect("serves");
    let endpoint: Endpoint = format!("https://{}/", server.address().expect("tcp")).parse().expect("is one");
    let client = client_of(&world, "trader");
    let until = tokio::time::Instant::now() + PATIENCE;
    let refused = client.reach(&endpoint, &[], until).await.expect_err("is not trusted there");
    assert_eq!(refused.kind, PostErrorKind::Tls, "{refused}");
    assert!(refused.text.contains("alert unknown ca"), "{refused}");
    assert_eq!(client.idle_connections(), 0);

    // One that hangs up then, and gives no reason.
    let listener = TcpListener::bind(LOOPBACK).await.expect("listens");
    let endpoint: Endpoint =
        format!("https://{}/", listener.local_addr().expect("has one")).parse().expect("is one");
    let (ssl, _) = world.tls("gateway").current().accepting().expect("has its keys");
    let hang_up = async {
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut stream = tokio_openssl::SslStream::new(ssl, stream).expect("begins");
        std::pin::Pin::new(&mut stream).accept().await.expect("shakes hands");
    };
    let (reached, ()) = tokio::join!(client.reach(&endpoint, &[], until), hang_up);
    let refused = reached.expect_err("it hung up");
    assert_eq!(refused.kind, PostErrorKind::Tls, "{refused}");
    assert!(refused.text.contains("ended the connection once it had our certificate: "), "{refused}");
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closed_costs_nothing() {
    let world = World::new();
    let options = ServerOptions { idle_deadline: Duration::from_millis(20), ..ServerOptions::default() };
    let (server, endpoint) = tls_server(&world, options).await;
    let client = client_of(&world, "trader");
    client.post(&endpoint, post("1")).await.expect("answers");
    while server.counts().connections_open > 0 {
        tokio::task::yield_now().await;
    }
    client.post(&endpoint, post("2")).await.expect("answers on a new connection");
    assert_eq!(server.counts().connections_accepted, 2);
}

#[tokio::test]
async fn shutdown_lets_the_request_in_hand_end_and_takes_no_other() {
    let world = World::new();
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
        move |request: Request| {
            let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
            async move {
                entered.notify_one();
                leave.notified().await;
                echo(request).await
            }
        }
    };
    let (server, endpoint) = tls_server_with(&world, ServerOptions::default(), handler).await;
    let address = server.address().expect("tcp");
    let client = client_of(&world, "trader");
    let (answer, drained) = tokio::join!(client.post(&endpoint, post("in hand")), async {
        entered.notified().await;
        let shutdown = server.shutdown(PATIENCE);
        tokio::pin!(shutdown);
        // Until the listener is gone; the request in hand keeps the shutdown from ending.
        while TcpStream::connect(address).await.is_ok() {
            tokio::select! {
                biased;
                drained = &mut shutdown => panic!("ended with a request in hand: {drained:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        leave.notify_one();
        shutdown.await
    });
    assert_eq!(answer.expect("answers").body, "in hand");
    assert_eq!(drained, Drained::Whole);
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_end() {
    let world = World::new();
    let entered = Arc::new(Notify::new());
    let handler = {
        let entered = Arc::clone(&entered);
        move |_: Request| {
            entered.notify_one();
            std::future::pending()
        }
    };
    let (server, endpoint) = tls_server_with(&world, ServerOptions::default(), handler).await;
    let client = client_of(&world, "trader");
    let (answer, drained) = tokio::join!(client.post(&endpoint, post("stuck")), async {
        entered.notified().await;
        server.shutdown(Duration::from_millis(20)).await
    });
    assert_eq!(answer.expect_err("was cut").kind, PostErrorKind::Closed);
    assert_eq!(drained, Drained::Cut { connections: 1 });
}

//= ebms2 B.2.3 MUST: no redirect is followed (S20)
#[tokio::test]
async fn redirects_and_errors_are_answers_like_any_other() {
    let world = World::new();
    let handler = |request: Request| async move {
        assert_eq!(request.path, "/msh");
        Response::empty(StatusCode::TEMPORARY_REDIRECT)
            .with_header(http::header::LOCATION, HeaderValue::from_static("/elsewhere"))
    };
    let (server, endpoint) = tls_server_with(&world, ServerOptions::default(), handler).await;
    let response = client_of(&world, "trader").post(&endpoint, post("x")).await.expect("answers");
    assert_eq!(response.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(server.counts().requests, 1);
}

//= ebms2 B.2.4 MUST: an answer that is too large or too late is a communication error (S20)
#[tokio::test]
async fn answers_too_large_or_too_late_are_given_up() {
    let world = World::new();
    let check = async |octets: usize, expected: Result<usize, PostErrorKind>| {
        let handler =
            move |_: Request| async move { Response::new(StatusCode::OK, "text/plain", vec![b'x'; octets]) };
        let (_server, endpoint) = tls_server_with(&world, ServerOptions::default(), handler).await;
        let options = ClientOptions { body_bytes_max: 1000, ..ClientOptions::default() };
        let client = Client::new(world.tls("trader"), options);
        let answer = client.post(&endpoint, post("x")).await;
        assert_eq!(answer.map(|r| r.body.len()).map_err(|e| e.kind), expected, "{octets}");
    };
    check(1000, Ok(1000)).await;
    check(1001, Err(PostErrorKind::TooLarge)).await;
    check(1_000_000, Err(PostErrorKind::TooLarge)).await;

    let (_server, endpoint) =
        tls_server_with(&world, ServerOptions::default(), |_: Request| std::future::pending()).await;
    let options = ClientOptions { response_deadline: Duration::from_millis(50), ..ClientOptions::default() };
    let client = Client::new(world.tls("trader"), options);
    assert_eq!(client.post(&endpoint, post("x")).await.expect_err("waits").kind, PostErrorKind::Timeout);
}

/// Takes a request in small sips for so long, then the rest of it at once, and answers.
async fn sip(stream: TcpStream, ssl: openssl::ssl::Ssl, slow_for: Duration) -> std::io::Result<()> {
    let mut stream = tokio_openssl::SslStream::new(ssl, stream)?;
    std::pin::Pin::new(&mut stream).accept().await.map_err(std::io::Error::other)?;
    let mut sip = vec![0; 1 << 16];
    let mut pace = tokio::time::interval(slow_for / 100);
    for sips in 0.. {
        if sips < 100 {
            pace.tick().await;
        }
        let taken = match stream.read(&mut sip).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            taken => taken,
        };
        if sip[..taken].ends_with(b"end") {
            break;
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    stream.shutdown().await
}

/// P11: who takes a large message in sips, and so is never quiet, keeps a connection no longer than the pace allows.
#[tokio::test]
async fn a_peer_that_sips_a_large_request_is_given_up_where_a_pace_is_asked() {
    const CHUNKS: u64 = 1024;
    const CHUNK: &[u8] = &[b'x'; 1 << 16];
    let world = World::new();
    let grace = Duration::from_secs(1);
    let check = async |bytes_per_second_min: u64, expected: Result<StatusCode, &str>| {
        let listener = TcpListener::bind(LOOPBACK).await.expect("listens");
        let address = listener.local_addr().expect("has one");
        let (ssl, _) = world.tls("gateway").current().accepting().expect("has its keys");
        let peer = tokio::spawn(async move { sip(listener.accept().await?.0, ssl, grace * 2).await });
        let options = ClientOptions {
            response_deadline: grace,
            request_bytes_per_second_min: bytes_per_second_min,
            ..ClientOptions::default()
        };
        let client = Client::new(world.tls("trader"), options);
        let chunks = (0..CHUNKS).map(|_| Bytes::from_static(CHUNK)).chain([Bytes::from_static(b"end")]);
        let body = Content::of(None, CHUNKS * CHUNK.len() as u64 + 3, chunks.map(Ok::<_, std::io::Error>));
        let endpoint: Endpoint = format!("https://{address}/msh").parse().expect("is one");
        let post = Post { content_type: "text/xml", soap_action: "\"ebXML\"", body, parties: &[] };
        let answer = client.post(&endpoint, post).await;
        let told = answer.map(|answer| answer.status).map_err(|error| (error.kind, error.to_string()));
        match (told, expected) {
            (Ok(status), Ok(expected)) => assert_eq!(status, expected),
            (Err((kind, text)), Err(expected)) => {
                assert_eq!(kind, PostErrorKind::Timeout);
                assert!(text.contains(expected), "{text}");
            }
            (told, expected) => panic!("{bytes_per_second_min}: {told:?}, not {expected:?}"),
        }
        client.close().await;
        // It was cut off, or has answered.
        let ended = tokio::time::timeout(PATIENCE, peer).await.expect("in time").expect("no panic");
        assert_eq!(ended.is_ok(), expected.is_ok());
    };
    check(1 << 40, Err("the request is taken too slowly")).await;
    check(0, Ok(StatusCode::OK)).await;
}

#[tokio::test]
async fn peers_that_are_not_there_or_silent_are_told_apart() {
    let world = World::new();
    let options = ClientOptions { handshake_deadline: Duration::from_millis(50), ..ClientOptions::default() };
    let client = Client::new(world.tls("trader"), options);
    let listener = TcpListener::bind(LOOPBACK).await.expect("listens");
    let endpoint: Endpoint =
        format!("https://{}/", listener.local_addr().expect("has one")).parse().expect("is one");
    let silent = client.post(&endpoint, post("x")).await.expect_err("nobody shakes hands");
    assert_eq!(silent.kind, PostErrorKind::Handshake);
    let soon = tokio::time::Instant::now() + Duration::from_millis(50);
    let silent = client.reach(&endpoint, &[], soon).await.expect_err("nobody shakes hands");
    assert_eq!(silent.kind, PostErrorKind::Handshake);
    drop(listener);
    let gone = client.post(&endpoint, post("x")).await.expect_err("nobody listens");
    assert_eq!(gone.kind, PostErrorKind::Connect);
}

#[tokio::test]
async fn a_panicking_handler_is_a_server_error_and_the_server_lives() {
    let world = World::new();
    let handler = |request: Request| async move {
        assert!(request.body != "panic", "on purpose");
        echo(request).await
    };
    let (_server, endpoint) = tls_server_with(&world, ServerOptions::default(), handler).await;
    let client = client_of(&world, "trader");
    for (body, status) in [("panic", 500), ("fine", 200)] {
        assert_eq!(client.post(&endpoint, post(body)).await.expect("answers").status, status, "S24: {body}");
    }
}

#[tokio::test]
async fn the_command_line_reaches_the_gateway_over_a_unix_socket() {
    let directory = tempfile::tempdir().expect("makes a directory");
    let socket = directory.path().join("admin.sock");
    let client = LocalClient::new(&socket);
    assert_eq!(client.get("/live").await.expect_err("nobody there").kind, PostErrorKind::Connect);

    let handler = |request: Request| async move {
        assert!(matches!(request.peer, Peer::Local { uid: Some(_) }));
        let text = format!("{} {} {:?}", request.method, request.path, request.query);
        Response::text(StatusCode::OK, format!("{text} {}", request.body.len()))
    };
    let options = ServerOptions { methods: vec![Method::GET, Method::POST], ..ServerOptions::default() };
    let server = Server::unix(&socket, options.clone(), handler).await.expect("serves");
    let taken = Server::unix(&socket, options.clone(), handler).await;
    assert!(matches!(taken, Err(TransportError::Listen { .. })), "somebody listens there");

    let answer = client.get("/deliveries?state=held").await.expect("answers");
    assert_eq!(answer.body, "GET /deliveries Some(\"state=held\") 0");
    let answer = client.post("/reload", "application/json", "{}".into()).await.expect("answers");
    assert_eq!(answer.body, "POST /reload None 2");

    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).expect("is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(server.shutdown(PATIENCE).await, Drained::Whole);
    assert!(!socket.exists());

    // A socket left behind by a crash is replaced; another kind of file is not.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("binds"));
    Server::unix(&socket, options.clone(), handler).await.expect("replaces it");
    let file = directory.path().join("file");
    std::fs::write(&file, "precious").expect("writes");
    assert!(Server::unix(&file, options, handler).await.is_err());
    assert!(file.exists());
}

#[tokio::test]
async fn without_tls_only_loopback_is_served() {
    let everywhere = "0.0.0.0:0".parse().expect("is an address");
    let refused = Server::loopback(everywhere, ServerOptions::default(), echo).await;
    assert!(matches!(refused, Err(TransportError::NotLoopback { .. })), "S23");
}
