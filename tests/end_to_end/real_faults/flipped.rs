//! An octet that flips while a peer has the message and its receipt is not there yet: the peer has had the right octets, once,
//! and gets no others; an operator is told, and nothing else waits for it (P3, P12).

use rusqlite::params;

use super::load::{answered, lodging, nothing_panicked, play};
use crate::correspondent::Correspondent;
use crate::process::until;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn octets_that_flip_while_the_peer_has_them_are_not_sent_again_p12() {
    let world = World::new();
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let broker = Correspondent::new(&world, "broker");
    let _others = play(&world, &["broker", "kfda", "npqs", "kpta"]).await;
    // Takes what comes, and says so in an hour.
    let slow = world.play("customs", &["--slow", "1h"]).await;
    let mut gateway = world.serve().await;
    assert!(answered(&broker, &lodging(&world, &broker, 1, Vec::new()).sealed).await.is_some());
    let declarations = || world.received("customs").iter().filter(|it| &*it.action == "GOVCBR929").count();
    until("customs has the declaration", async || (declarations() == 1).then_some(())).await;
    gateway.kill();

    let disk = rusqlite::Connection::open(store.join("gwanmun.db")).expect("opens");
    let of = "SELECT owner, octets FROM sealed JOIN delivery ON owner = number WHERE delivery.record LIKE '%GOVCBR929%'";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
    let (owner, mut octets) = disk.query_row(of, [], read).expect("one that is sealed");
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    let flip = "UPDATE sealed SET octets = ?2 WHERE owner = ?1";
    assert_eq!(disk.execute(flip, params![owner, octets]).expect("is written"), 1);
    disk.close().expect("closed");

    let mut gateway = world.serve().await;
    let declaration = until("an operator is told", async || {
        let deliveries = world.list("/deliveries").await;
        let declaration = deliveries.into_iter().find(|it| it["action"] == "GOVCBR929")?;
        (declaration["state"] == "quarantined").then_some(declaration)
    })
    .await;
    assert_eq!(declaration["attempts"], 1, "it was not sent again: {declaration}");
    gateway.says("store.damaged").await;
    // What else went to customs is in hand until it answers: it does so at once now.
    drop(slow);
    let _customs = world.play("customs", &[]).await;
    assert!(answered(&broker, &lodging(&world, &broker, 2, Vec::new()).sealed).await.is_some());
    until("what comes later is handed on", async || (declarations() == 2).then_some(())).await;
    nothing_panicked(&world);
}
