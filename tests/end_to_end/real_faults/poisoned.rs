//! A message whose record can be read no more when the gateway starts: it is nobody's, it is told, and no other message waits
//! for it (P12, P15, S24).

use super::load::{answered, lodging, nothing_panicked, play};
use crate::correspondent::Correspondent;
use crate::process::until;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_message_that_cannot_be_read_takes_up_all_others() {
    let world = World::new();
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let broker = Correspondent::new(&world, "broker");
    let _running = play(&world, &["broker", "customs", "npqs", "kpta"]).await;
    let mut gateway = world.serve().await;
    for serial in 1..=3 {
        assert!(answered(&broker, &lodging(&world, &broker, serial, Vec::new()).sealed).await.is_some());
    }
    let completed = async || {
        let deliveries = world.list("/deliveries").await;
        let of = deliveries.iter().filter(|it| it["action"] == "GOVCBRFR2" && it["state"] == "delivered");
        (of.count() == 3).then_some(())
    };
    until("those for KPTA are completed", completed).await;
    gateway.kill();
    // The first of the three applications that wait for KFDA, and of the three that KPTA has had.
    let disk = rusqlite::Connection::open(store.join("gwanmun.db")).expect("opens");
    for action in ["GOVCBRX01", "GOVCBRFR2"] {
        let poison = "UPDATE delivery SET record = '{\"poison\":' WHERE number = \
                      (SELECT min(number) FROM delivery WHERE instr(record, ?1) > 0)";
        assert_eq!(disk.execute(poison, [action]).expect("is written"), 1);
    }
    disk.close().expect("closed");

    let mut gateway = world.serve().await;
    let _kfda = play(&world, &["kfda"]).await;
    let received =
        |name: &str, action: &str| world.received(name).iter().filter(|it| &*it.action == action).count();
    let applications = || received("kfda", "GOVCBRX01");
    until("the others have come", async || (applications() == 2).then_some(())).await;
    assert!(answered(&broker, &lodging(&world, &broker, 4, Vec::new()).sealed).await.is_some());
    until("and what comes later", async || {
        (applications() == 3 && received("kpta", "GOVCBRFR2") == 4).then_some(())
    })
    .await;
    gateway.says("store.damaged").await;
    gateway.kill();
    nothing_panicked(&world);
    assert_eq!(applications(), 3, "nobody gets what cannot be read (P12)");
    assert_eq!(received("kpta", "GOVCBRFR2"), 4, "nor again what he has had (P3)");
}
