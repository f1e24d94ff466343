//! S13: one request, one decision.

use super::*;

async fn check(octets: &str, expected: &[u16]) {
    let (server, address) = plain_server(ServerOptions::default()).await;
    let answer = exchange(address, octets.as_bytes()).await;
    assert_eq!(statuses(&answer), expected, "{octets:?}: {answer}");
    assert_eq!(server.shutdown(PATIENCE).await, Drained::Whole);
}

//= ebms2 B.2.1 MUST: HTTP/1.1 with Content-Length or chunked, and kept-alive connections
#[tokio::test]
async fn requests_in_order_are_answered_one_after_the_other() {
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", &[200]).await;
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n", &[200])
        .await;
    check("\r\nPOST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &[200]).await;
}

//= ebms2 B.2.1 MUST: a request whose end can be read in two ways is refused (S13)
//= ebms2 B.2.2 MAY: HTTP header fields are folded over lines
//=  deviation: answered with 400 and the connection closed, as RFC 9112, 5.2, allows and S13 asks; MIME header fields of parts may be folded
#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    for headers in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 0x2\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length : 2\r\n",
        "X-Folded: a\r\n b\r\n",
        "X-Nul: a\0b\r\n",
    ] {
        check(&format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n0\r\n\r\n"), &[400]).await;
    }
    check("not http at all\r\n\r\n", &[400]).await;
}

#[tokio::test]
async fn trailers_are_refused() {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    check(&format!("{chunked}Content-Length: 9\r\n\r\n"), &[400]).await;
}

#[tokio::test]
async fn a_request_sent_before_the_last_answer_is_refused() {
    let first = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok";
    check(&format!("{first}{first}"), &[200, 400]).await;
    // An empty line after a body is a habit of old clients, not a request.
    let (_server, address) = plain_server(ServerOptions::default()).await;
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(format!("{first}\r\n").as_bytes()).await.expect("sends");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("answers");
    stream.write_all(first.replace("Host", "Connection: close\r\nHost").as_bytes()).await.expect("sends");
    assert_eq!(statuses(&rest_of(&mut stream).await), [200]);
}
