//! Many connections at once, and many deliveries that wait for a partner who is dead: the gateway's memory stays bounded,
//! and everybody else goes on (P13, P15). `make bench-large` prints it at full size.

use std::pin::Pin;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_openssl::SslStream;

use crate::correspondent::{Correspondent, Told};
use crate::large::memory_mib;
use crate::process::until;
use crate::restart::{Standing, Written, median, millis};
use crate::world::World;

/// Connections that are open and idle.
const CONNECTIONS: usize = 1000;
/// What the gateway may have resident at most with all of them.
const MEMORY_MIB_MAX: u64 = 192;
/// A request that is answered with 404, after which the connection stays open.
const REQUEST: &[u8] =
    b"POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_open_connections_keep_nobody_waiting_p13() {
    let world = World::new();
    let settings = std::fs::read_to_string(world.settings()).expect("is there");
    let few = settings.lines().find(|line| line.starts_with("connections_per_peer_max")).expect("is set");
    let many = format!("connections_per_peer_max = {}\nidle_deadline = \"10m\"", CONNECTIONS + 10);
    std::fs::write(world.settings(), settings.replace(few, &many)).expect("is ours");
    let gateway = world.serve().await;
    let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
    connector.set_ca_file(world.path("pki/ca.pem")).expect("the anchor");
    connector.set_certificate_chain_file(world.path("pki/broker/tls.pem")).expect("the certificate");
    connector.set_private_key_file(world.path("pki/broker/tls.key"), SslFiletype::PEM).expect("its key");
    let connector = connector.build();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = connect(&connector, &world).await;
        ask(&mut stream).await;
        open.push(stream);
    }
    let broker = Correspondent::new(&world, "broker");
    for serial in 1..=3 {
        let lodging = world.lodging(serial);
        let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
        assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged, "P15");
    }
    for stream in &mut open {
        ask(stream).await;
    }
    let memory = memory_mib(&gateway);
    println!("{CONNECTIONS} connections: memory {memory} MiB at most");
    assert!(memory < MEMORY_MIB_MAX, "P13: {memory} MiB");
}

/// Deliveries that wait for a dead partner in a plain run.
const WAITING: u64 = 2_000;
/// Lodgings that are timed.
const TIMED: u32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_dead_partner_keeps_nobody_else_waiting_p13_p15() {
    let waiting = std::env::var("WAITING").map_or(WAITING, |text| text.parse().expect("a number"));
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let _kfda = world.play("kfda", &[]).await;
    let mut gateway = world.serve().await;
    let before = paced(&world, &broker, 1).await;
    gateway.kill();
    Written::default().write(&store, waiting, &Standing::pending());
    let gateway = world.serve().await;
    until("customs is being tried", async || {
        let text = world.ask_text("/metrics").await;
        let failed = text.lines().filter(|line| {
            line.starts_with("gwanmun_delivery_attempts_total") && !line.contains("outcome=\"taken\"")
        });
        let failed: f64 = failed.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        (failed > 100.0).then_some(())
    })
    .await;
    let after = paced(&world, &broker, 100).await;
    let memory = memory_mib(&gateway);
    println!(
        "{waiting} deliveries wait for customs, which is dead: an agency has its application after {:.0} ms, {:.0} ms \
         with none waiting; memory {memory} MiB at most",
        millis(after),
        millis(before)
    );
    assert!(memory < MEMORY_MIB_MAX, "P13: {memory} MiB");
}

/// The median time from a lodging to its application at an agency.
async fn paced(world: &World, broker: &Correspondent, serials: u32) -> Duration {
    let mut times = Vec::new();
    for serial in serials..serials + TIMED {
        let lodging = world.lodging(serial);
        let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
        let had = world.received("kfda").len();
        let began = Instant::now();
        assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);
        until("the agency has it", async || (world.received("kfda").len() > had).then_some(())).await;
        times.push(began.elapsed());
    }
    median(times)
}

type Stream = Pin<Box<SslStream<TcpStream>>>;

async fn connect(connector: &SslConnector, world: &World) -> Stream {
    let address = world.endpoint().trim_start_matches("https://").trim_end_matches("/ebms");
    let session = connector.configure().and_then(|it| it.into_ssl("localhost")).expect("a session");
    let stream = TcpStream::connect(address).await.expect("connects");
    let mut stream = Box::pin(SslStream::new(session, stream).expect("a stream"));
    stream.as_mut().connect().await.expect("shakes hands");
    stream
}

async fn ask(stream: &mut Stream) {
    stream.write_all(REQUEST).await.expect("is open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("is answered"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
}
