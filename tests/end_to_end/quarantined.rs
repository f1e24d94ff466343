//! A message that is agreed and that no rule knows: ours, acknowledged, steering nothing, and told to an operator.

use crate::correspondent::{Correspondent, Told};
use crate::world::{World, attachment};

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_without_rule_waits_for_an_operator() {
    let world = World::new();
    for (file, list) in [("broker.toml", "send = ["), ("partners/broker.toml", "receive = [")] {
        world.edit(file, list, &format!("{list}\n  \"ExportClearance GOVCBR830\","));
    }
    let gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let message =
        broker.message("GOVCBR830", "export-1", vec![attachment("a.txt", "text/plain", b"to Busan")]);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);

    let messages = world.list("/messages").await;
    let [kept] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((&kept["accepted"], &kept["quarantined"]), (&true.into(), &true.into()));
    let reason = kept["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no envelope rule knows ExportClearance GOVCBR830"), "{reason}");
    assert!(world.list("/deliveries").await.is_empty());
    assert!(world.list("/cases").await.is_empty());
    let said = gateway.said();
    let told = said.lines().filter(|line| line.contains("message.quarantined"));
    let told: Vec<_> = told.filter(|line| line.contains(message.header.data.message_id.as_str())).collect();
    assert_eq!(told.len(), 1, "one operator event:\n{said}");
}
