//! While the disk is low nothing new is taken in, and what was accepted goes on to its end (P11).

use std::fs;

use rustix::process::Signal;

use gwanmun::transport::LocalClient;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, until};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_acknowledged_while_nothing_new_is_taken_p11() {
    let world = World::new();
    let mut gateway = world.serve().await;
    let operator = LocalClient::new(&world.path("run/gwanmun.sock"));
    let path = "/notices?to=AG000000000002&text=works&reason=test";
    let sent = operator.post(path, "application/json", bytes::Bytes::new()).await.expect("answers");
    assert!(sent.status.is_success(), "{}", String::from_utf8_lossy(&sent.body));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    let settings = fs::read_to_string(world.settings()).expect("settings");
    // More than any disk has.
    let low = settings.replacen("free_bytes_min = 0\n", "free_bytes_min = 1000000000000000000\n", 1);
    assert_ne!(low, settings, "it sets none");
    fs::write(world.settings(), low).expect("written");

    // It is not ready, and works.
    let path = world.settings().to_str().expect("is text");
    let gateway = Process::start(world.path("gateway.log"), ["serve", "--config", path]);
    until("it is there", async || world.path("run/gwanmun.sock").exists().then_some(())).await;
    // It acknowledges by POSTs of its own.
    let _npqs = world.play("npqs", &[]).await;
    until("npqs has acknowledged", async || {
        let deliveries = world.list("/deliveries").await;
        deliveries.iter().all(|delivery| delivery["state"] == "delivered").then_some(())
    })
    .await;
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Status(503), "{}", gateway.said());
}
