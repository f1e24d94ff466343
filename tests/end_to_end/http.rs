//! The HTTP binding as octets (ebMS 2.0, B): requests as others write them, and what each is answered with.

use crate::connection::Connection;
use crate::golden::Stage;

//= ebms2 B.2.2 MUST: SOAPAction is no control: "ebXML" with quotes or without, an empty one and none are taken, and counted
//= ebms2 B.2.2 MUST: MIME-Version and Content-Transfer-Encoding as fields of HTTP are ignored
//= ebms2 B.2.3 MAY: 404, 405 with Allow, 413 and 415 are answered for what HTTP alone can tell
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_as_the_binding_says() {
    let stage = Stage::new().await;
    let ping = stage.ping();
    let xml = "Content-Type: text/xml; charset=UTF-8\r\n";
    let length = format!("Content-Length: {}\r\n", ping.len());
    let half = ping.len() / 2;
    let half = (half..).find(|at| ping.is_char_boundary(*at)).expect("there is an end");
    let (first, second) = ping.split_at(half);
    let chunks =
        format!("{:x}\r\n{first}\r\n{:X};name=value\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let pong = ["HTTP/1.1 200 OK", "content-type: text/xml; charset=UTF-8", "<eb:Action>Pong</eb:Action>"];
    let check = async |what: &str, line: &str, fields: &str, body: &str, expected: &[&str]| {
        let mut connection = Connection::open(&stage.world).await;
        let host = "Host: localhost\r\nConnection: close\r\n";
        connection.send(format!("{line} HTTP/1.1\r\n{host}{fields}\r\n{body}").as_bytes()).await;
        let answer = connection.rest().await;
        assert!(answer.starts_with(expected[0]), "{what}: {answer}");
        for expected in expected {
            assert!(answer.contains(expected), "{what}: {expected:?} in {answer}");
        }
    };
    let post = "POST /ebms";
    check("a length", post, &format!("{xml}{length}SOAPAction: \"ebXML\"\r\n"), &ping, &pong).await;
    check("SOAPAction without quotes", post, &format!("{xml}{length}SOAPAction: ebXML\r\n"), &ping, &pong)
        .await;
    check("an empty SOAPAction", post, &format!("{xml}{length}soapaction: \"\"\r\n"), &ping, &pong).await;
    check("no SOAPAction", post, &format!("{xml}{length}"), &ping, &pong).await;
    check("chunks", post, &format!("{xml}{chunked}"), &chunks, &pong).await;
    let mime = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <a@b>\r\n";
    check("fields of MIME", post, &format!("{xml}{length}{mime}"), &ping, &pong).await;
    stage.told("soap-action", 5).await;
    stage.told("message.deviates", 5).await;

    let fault = [
        "HTTP/1.1 500 Internal Server Error",
        "content-type: text/xml; charset=UTF-8",
        "<faultcode>soap:Client</faultcode>",
    ];
    check("no body", post, &format!("{xml}Content-Length: 0\r\n"), "", &fault).await;
    check("no XML", post, &format!("{xml}Content-Length: 2\r\n"), "no", &fault).await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "ebXML"] {
        let line = format!("{method} /ebms");
        check("another method", &line, "", "", &["HTTP/1.1 405 Method Not Allowed", "allow: POST"]).await;
    }
    check(
        "another path",
        "POST /",
        &format!("{xml}{length}"),
        &ping,
        &["HTTP/1.1 404 Not Found", "content-length: 0"],
    )
    .await;
    for fields in [
        "Content-Type: application/xml\r\n",
        "Content-Type: application/soap+xml\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Type: multipart/form-data; boundary=b\r\n",
        "Content-Type: text/xml\r\nContent-Type: text/xml\r\n",
        "Content-Type: text/xml\r\nContent-Encoding: gzip\r\n",
        "",
    ] {
        check(fields, post, &format!("{fields}{length}"), &ping, &["HTTP/1.1 415 Unsupported Media Type"])
            .await;
    }
    check(
        "far too much",
        post,
        &format!("{xml}Content-Length: 99999999999\r\n"),
        "",
        &["HTTP/1.1 413 Payload Too Large"],
    )
    .await;
    check("two lengths", post, &format!("{xml}{length}{length}"), &ping, &["HTTP/1.1 400 Bad Request"]).await;
    check(
        "a length and chunks",
        post,
        &format!("{xml}{length}{chunked}"),
        &chunks,
        &["HTTP/1.1 400 Bad Request"],
    )
    .await;
    check(
        "a folded field",
        post,
        &format!("Content-Type: text/xml;\r\n charset=UTF-8\r\n{length}"),
        &ping,
        &["HTTP/1.1 400 Bad Request"],
    )
    .await;

    // One connection, one request after the other; what asks first is told to go on.
    let mut connection = Connection::open(&stage.world).await;
    for _ in 0..3 {
        let head = format!("{post} HTTP/1.1\r\nHost: localhost\r\n{xml}{length}\r\n");
        connection.send(format!("{head}{ping}").as_bytes()).await;
        let answer = connection.answer().await;
        assert!(answer.starts_with(pong[0]) && answer.contains(pong[2]), "{answer}");
    }
    connection.begin(&stage.world, "text/xml", ping.len()).await;
    connection.send(ping.as_bytes()).await;
    assert!(connection.rest().await.contains(pong[2]));
}

//= ebms2 B.2.2 MAY: what brings nothing back is answered with the 2xx that the partner knows, without a body
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_has_the_status_that_is_agreed() {
    let stage = Stage::of("empty_answer = 202\n").await;
    let signal = |refers: &str| {
        let swap = |text: String, from: &str, to: &str| {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text.replace(from, to)
        };
        let given = "<eb:Acknowledgment eb:version=\"2.0\" soap:mustUnderstand=\"1\">\
             <eb:Timestamp>2026-01-01T00:00:00Z</eb:Timestamp><eb:RefToMessageId>nothing@of.ours</eb:RefToMessageId>\
             </eb:Acknowledgment></soap:Header>";
        let reference =
            format!("</eb:Timestamp><eb:RefToMessageId>{refers}</eb:RefToMessageId></eb:MessageData>");
        let text = swap(stage.ping(), "</eb:Timestamp></eb:MessageData>", &reference);
        swap(swap(text, ">Ping<", ">Acknowledgment<"), "</soap:Header>", given)
    };
    // One of nothing that we sent, and one that contradicts itself: neither is ever answered.
    let signals = [signal("nothing@of.ours"), signal("another@of.ours")];
    for (before, status, line) in [
        (202, 202, "HTTP/1.1 202 Accepted"),
        (202, 200, "HTTP/1.1 200 OK"),
        (200, 204, "HTTP/1.1 204 No Content"),
    ] {
        let key = |status: u16| format!("empty_answer = {status}");
        stage.world.edit("partners/broker.toml", &key(before), &key(status));
        assert!(stage.world.reload().await.status.is_success(), "{status}");
        for signal in &signals {
            let mut connection = Connection::open(&stage.world).await;
            let length = signal.len();
            let fields = format!(
                "Host: localhost\r\nConnection: close\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n"
            );
            connection.send(format!("POST /ebms HTTP/1.1\r\n{fields}\r\n{signal}").as_bytes()).await;
            let answer = connection.rest().await;
            assert!(answer.starts_with(line), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").expect("has a head");
            assert_eq!(body, "");
            // RFC 9110, 8.6: 204 has no Content-Length.
            assert_eq!(head.contains("content-length: 0"), status != 204, "{head}");
            assert!(!head.contains("content-type"), "{head}");
        }
    }
}

/// Careless requests and signals are taken, counted and logged with what is wrong; an agreement can refuse them.
#[tokio::test(flavor = "multi_thread")]
async fn what_every_receiver_survives_is_counted_and_can_be_refused() {
    let stage = Stage::of("profile = \"strict\"\n").await;
    let ping = stage.ping();
    let careless = ping.replacen(" soap:mustUnderstand=\"1\"", "", 1);
    assert_ne!(ping, careless);
    let post = async |action: &str, body: &str| {
        let mut connection = Connection::open(&stage.world).await;
        let length = body.len();
        let fields = format!("Host: localhost\r\nConnection: close\r\nContent-Type: text/xml\r\n{action}");
        let head = format!("POST /ebms HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n");
        connection.send(format!("{head}{body}").as_bytes()).await;
        connection.rest().await
    };
    let (agreed, other) = ("SOAPAction: \"ebXML\"\r\n", "SOAPAction: ebXML\r\n");
    let pong = "<eb:Action>Pong</eb:Action>";
    assert!(post(agreed, &ping).await.contains(pong));
    stage.told("message.deviates", 0).await;
    assert!(post(other, &ping).await.contains(pong));
    assert!(post(agreed, &careless).await.contains(pong));
    stage.told("soap-action", 1).await;
    stage.told("signal-schema", 1).await;
    stage.told("message.deviates", 2).await;
    let log = stage.world.read("gateway.log");
    let line = log.lines().find(|line| line.contains("signal-schema")).expect("is logged");
    assert!(line.contains("mustUnderstand") && line.contains("ping-1@broker.example"), "{line}");

    stage.world.edit("partners/broker.toml", "profile = \"strict\"", "deviations = []");
    assert!(stage.world.reload().await.status.is_success());
    assert!(post(agreed, &ping).await.contains(pong));
    let refused = post(other, &ping).await;
    assert!(refused.starts_with("HTTP/1.1 500") && refused.contains("soap:Client"), "{refused}");
    let refused = post(agreed, &careless).await;
    assert!(
        refused.starts_with("HTTP/1.1 200") && refused.contains("eb:errorCode=\"OtherXml\""),
        "{refused}"
    );
    stage.told("message.deviates", 2).await;
}
