//! Caps and deadlines: each cap at its limit, one past it and far past it (S14, P13, P15).

use super::*;

fn with_body_bytes_max(body_bytes_max: usize) -> ServerOptions {
    ServerOptions { body_bytes_max, ..ServerOptions::default() }
}

//= ebms2 B.2.3 MAY: a body past the limit is answered with 413
#[tokio::test]
async fn bodies_up_to_the_limit_are_taken() {
    let world = World::new();
    let (_server, endpoint) = tls_server(&world, with_body_bytes_max(1000)).await;
    let client = client_of(&world, "trader");
    for (octets, status) in [(0, 200), (1000, 200), (1001, 413), (5_000_000, 413), (1000, 200)] {
        let answer = client.post(&endpoint, post(vec![b'x'; octets])).await;
        // What is far past the limit may be cut while still being sent.
        match answer {
            Ok(response) => assert_eq!(response.status, status, "{octets}"),
            Err(error) => assert!(octets > 1_000_000, "{octets}: {error}"),
        }
    }
}

#[tokio::test]
async fn bodies_that_do_not_announce_their_size_are_capped_as_they_come() {
    let (_server, address) = plain_server(with_body_bytes_max(4)).await;
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    for (octets, status) in [(2, 200), (3, 413), (20_000, 413)] {
        let body = format!("2\r\nab\r\n{octets:x}\r\n{}\r\n0\r\n\r\n", "c".repeat(octets));
        let answer = exchange(address, format!("{chunked}{body}").as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{octets}");
    }
}

#[tokio::test]
async fn bodies_past_a_size_are_spooled_where_there_is_room_p13() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = || std::fs::read_dir(directory.path()).expect("readable").count();
    let tell = |request: Request| async move {
        let how = request.spooled.map_or_else(
            || format!("held {}", request.body.len()),
            |spooled| format!("spooled {}", spooled.bytes()),
        );
        Response::text(StatusCode::OK, how)
    };
    for (free_bytes_min, past) in [(0, "200 OK spooled 1001"), (u64::MAX, "503 Service Unavailable ")] {
        let spool = SpoolOptions {
            directory: directory.path().to_owned(),
            from_bytes: 1000,
            free_bytes_min,
            decoded_bytes_max: 500,
        };
        let options = ServerOptions { spool: Some(spool), ..with_body_bytes_max(2000) };
        let server = Server::loopback(LOOPBACK, options, tell).await.expect("serves");
        let address = server.address().expect("has an address");
        for (octets, told) in [(1000, "200 OK held 1000"), (1001, past), (2001, "413 Payload Too Large ")] {
            let body = "x".repeat(octets);
            let announced = format!("Content-Length: {octets}\r\n\r\n{body}");
            let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{octets:x}\r\n{body}\r\n0\r\n\r\n");
            for framed in [announced, chunked] {
                let request = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framed}");
                let answer = exchange(address, request.as_bytes()).await;
                let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
                let status = head.lines().next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
                assert_eq!(format!("{} {body}", status.expect("a status")), told, "{octets} (P11)");
            }
        }
        assert_eq!(files(), 0, "nobody took them");
    }
}

//= ebms2 B.2.1 MUST: 100 Continue is sent only when the head is in order
//= ebms2 B.2.3 MAY: another method than POST is answered with 405
#[tokio::test]
async fn a_body_is_asked_for_only_when_its_head_is_in_order() {
    let (_server, address) = plain_server(with_body_bytes_max(4)).await;
    let head = |method: &str, length: usize| {
        format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    assert_eq!(statuses(&exchange(address, head("POST", 5).as_bytes()).await), [413]);
    assert_eq!(statuses(&exchange(address, head("PUT", 4).as_bytes()).await), [405]);

    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(head("POST", 4).as_bytes()).await.expect("sends");
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.expect("is asked to go on");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.expect("sends");
    assert_eq!(statuses(&rest_of(&mut stream).await), [200]);
}

//= ebms2 B.2.3 MAY: a body that comes too slowly is answered with 408
#[tokio::test]
async fn slow_bodies_are_given_up() {
    let unfinished = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    let short = Duration::from_millis(30);
    let by_deadline = ServerOptions { body_deadline: short, ..ServerOptions::default() };
    let by_pace = ServerOptions {
        body_bytes_per_second_min: 1000,
        body_pace_window: short,
        ..ServerOptions::default()
    };
    for options in [by_deadline, by_pace] {
        let (_server, address) = plain_server(options).await;
        assert_eq!(statuses(&exchange(address, unfinished).await), [408]);
    }
}

#[tokio::test]
async fn silent_and_slow_heads_are_given_up() {
    let short = Duration::from_millis(30);
    let options = ServerOptions { header_deadline: short, idle_deadline: short, ..ServerOptions::default() };
    let (_server, address) = plain_server(options).await;
    let complete = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (octets, expected) in [("", vec![]), ("POST / HTTP/1.1\r\nHost:", vec![]), (complete, vec![200])] {
        assert_eq!(statuses(&exchange(address, octets.as_bytes()).await), expected, "{octets:?}");
    }
}

#[tokio::test]
async fn handshakes_have_a_deadline() {
    let world = World::new();
    let options = ServerOptions { handshake_deadline: Duration::from_millis(30), ..ServerOptions::default() };
    let (server, _) = tls_server(&world, options).await;
    assert_eq!(exchange(server.address().expect("tcp"), b"").await, "");
    assert_eq!(server.counts().handshakes_failed, 1);
}

#[tokio::test]
async fn slow_readers_are_cut() {
    let options = ServerOptions { response_deadline: Duration::from_millis(30), ..ServerOptions::default() };
    let handler = |_: Request| async { Response::new(StatusCode::OK, "text/plain", vec![b'x'; 50_000_000]) };
    let server = Server::loopback(LOOPBACK, options, handler).await.expect("serves");
    let address = server.address().expect("tcp");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sends");
    stream.readable().await.expect("answers");
    while server.counts().connections_open > 0 {
        tokio::task::yield_now().await;
    }
}

//= ebms2 B.2.3 MAY: a head past its limits is answered with 431
#[tokio::test]
async fn heads_are_capped_in_fields_and_octets() {
    let options = ServerOptions { header_count_max: 10, header_bytes_max: 9000, ..ServerOptions::default() };
    let (_server, address) = plain_server(options).await;
    let check = async |fields: String, expected: u16| {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        let octets = head.len();
        assert_eq!(statuses(&exchange(address, head.as_bytes()).await), [expected], "{octets} octets");
    };
    let fields = |count: usize| (0..count).map(|i| format!("X-{i}: x\r\n")).collect::<String>();
    check(fields(8), 200).await;
    check(fields(9), 431).await;
    check(fields(600), 431).await;
    let long = |octets: usize| format!("X: {}\r\n", "x".repeat(octets));
    let around = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: \r\n\r\n".len();
    check(long(9000 - around), 200).await;
    check(long(9001 - around), 431).await;
    check(long(100_000), 431).await;
}

#[tokio::test]
async fn connections_are_capped_in_total_s14() {
    let options = ServerOptions { connections_max: 2, ..ServerOptions::default() };
    let (server, address) = plain_server(options).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(format!("{request}x").as_bytes()).await.expect("sends");
        stream.read_exact(&mut [0; 12]).await.expect("answers");
        kept.push(stream);
    }
    for number in 1..=100 {
        let mut refused = TcpStream::connect(address).await.expect("connects");
        assert_eq!(refused.read(&mut [0; 1]).await.expect("is closed"), 0);
        assert_eq!((server.counts().connections_refused, server.counts().connections_open), (number, 2));
    }

    kept.pop();
    while server.counts().connections_open > 1 {
        tokio::task::yield_now().await;
    }
    let closing = format!("{}x", request.replace("Host", "Connection: close\r\nHost"));
    assert_eq!(statuses(&exchange(address, closing.as_bytes()).await), [200]);
}

#[tokio::test]
async fn one_certificate_cannot_take_the_connections_of_others_s14() {
    let world = World::new();
    let options = ServerOptions { connections_per_peer_max: 1, ..ServerOptions::default() };
    let (server, endpoint) = tls_server(&world, options).await;
    let (first, second, other) =
        (client_of(&world, "trader"), client_of(&world, "trader"), client_of(&world, "kfda"));
    first.post(&endpoint, post("x")).await.expect("answers");
    for number in 1..=20 {
        let refused = second.post(&endpoint, post("x")).await.expect_err("is past the share");
        assert_eq!(refused.kind, PostErrorKind::Closed, "{refused}");
        assert_eq!(server.counts().connections_refused, number);
    }
    other.post(&endpoint, post("x")).await.expect("P15: others are served");
    first.close().await;
    while server.counts().connections_open > 1 {
        tokio::task::yield_now().await;
    }
    second.post(&endpoint, post("x")).await.expect("the share is free again");
}

//= ebms2 B.2.3 MAY: an overload is answered with 503 and Retry-After
#[tokio::test]
async fn all_bodies_together_are_capped() {
    let options = ServerOptions { body_bytes_in_flight_max: 3, ..ServerOptions::default() };
    let (_server, address) = plain_server(options).await;
    let request = |length: usize| {
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        format!("{head}{}", "x".repeat(length))
    };
    assert_eq!(statuses(&exchange(address, request(3).as_bytes()).await), [200]);
    for past in [4, 20_000] {
        let answer = exchange(address, request(past).as_bytes()).await;
        assert_eq!(statuses(&answer), [503]);
        assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    }
    assert_eq!(statuses(&exchange(address, request(3).as_bytes()).await), [200], "shares are given back");
}
