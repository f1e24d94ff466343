//! What handlers ask of each other: Ping and message status in both directions, and the acknowledgment of a next MSH
//! (ebMS 2.0, 7, 8, 10; digest, 12, 13, 15).

use std::net::{SocketAddr, TcpListener};

use gwanmun::codec::envelope::decode_envelope;
use gwanmun::codec::xml::XmlLimits;
use gwanmun::model::Actor;
use gwanmun::transport::{Request, Response, Server, ServerOptions, StatusCode, Tls, TlsContext, TlsFiles};
use serde_json::{Value, json};

use crate::correspondent::{Correspondent, Told};
use crate::forgery::with_block;
use crate::process::run;
use crate::world::World;

/// What the program prints as JSON, and whether it exits with 0.
fn told(world: &World, arguments: &[&str]) -> (Value, bool) {
    let ran = run(&world.path(""), arguments);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {said}"));
    (value, ran.status.success())
}

//= ebms2 8 MAY: the MSH pings a partner and verifies the Pong, on the connection and asynchronously
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_learns_whether_a_partner_can_be_reached() {
    let world = World::new();
    let _gateway = world.serve().await;
    let check = |party: &str| {
        let (told, well) = told(&world, &["party", "check", party, "--json"]);
        let agreement = &told["agreements"][0];
        let steps = agreement["steps"].as_array().expect("there are some");
        let steps =
            steps.iter().map(|step| format!("{} {}", step["step"].as_str().expect("text"), step["ok"]));
        let steps = steps.filter(|step| step != "certificates true");
        (steps.collect::<Vec<_>>().join(", "), agreement["steps"].clone(), well)
    };
    let (steps, _, well) = check("KFDA");
    assert_eq!((&*steps, well), ("agreement true, connect false", false), "nobody listens yet");

    let _kfda = world.play("kfda", &[]).await;
    let _npqs = world.play("npqs", &[]).await;
    // KFDA answers on the connection; NPQS by a POST of its own, which shows that it reaches the gateway too.
    for party in ["KFDA", "AG000000000002"] {
        let (steps, told, well) = check(party);
        let expected =
            "agreement true, connect true, tls true, answer true, pong true, message true, status true";
        assert_eq!((&*steps, well), (expected, true), "{party}: {told}");
        let says = |at: usize| told[at]["says"].as_str().expect("text");
        assert!(says(0).contains("signed acknowledgments; 60 retries every 2s"), "{told}");
        assert!(says(1).starts_with("it signs with 1 certificate(s), until "), "{told}");
        assert!(says(5).starts_with("signed and verified, after "), "{told}");
        assert!(says(6).starts_with("acknowledged, signed and verified, after "), "{told}");
        assert_eq!(says(7), "Processed, signed and verified");
    }
    assert_eq!(world.list("/deliveries").await, Vec::<Value>::new(), "nothing is recorded");

    // What is not agreed is left out, and its status is that of a message never sent.
    world.edit("partners/kfda.toml", "  \"Test Test\",\n", "");
    let reload = || {
        let reload = run(&world.path(""), ["reload"]);
        assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    };
    reload();
    let (steps, told, well) = check("KFDA");
    assert!(steps.ends_with("pong true, message null, status true"), "{steps}");
    assert!(well && told[7]["says"].as_str().expect("text").starts_with("NotRecognized"), "{told}");

    // An agreement that is over is shown, and keeps nobody from being reached under the one that came after.
    let partner = world.read("partners/kfda.toml");
    let (_, agreed) = partner.split_once("[[agreement]]").expect("has one");
    let over = agreed.replacen("swgw-kfda-3\"", "swgw-kfda-0\"\nend = \"2020-01-01T00:00:00Z\"", 1);
    world.write("partners/kfda.toml", &format!("{partner}\n[[agreement]]{over}"));
    reload();
    let (steps, told, well) = check("KFDA");
    assert_eq!((&*steps, well), ("agreement null", true), "{told}");
    world.write(
        "partners/kfda.toml",
        &partner.replacen("swgw-kfda-3\"", "swgw-kfda-3\"\nend = \"2020-01-01T00:00:00Z\"", 1),
    );
    reload();
    let (steps, told, well) = check("KFDA");
    assert_eq!((&*steps, well), ("agreement null", false), "none is in force: {told}");
    world.write("partners/kfda.toml", &partner);

    // Somebody else at the endpoint of KFDA.
    let nvrqs = world.read("nvrqs.toml");
    let listen = |text: &str| text.lines().find(|line| line.starts_with("ebms")).expect("listens").to_owned();
    let endpoint = |text: &str| listen(text).split('"').nth(1).expect("an address").to_owned();
    let (of_nvrqs, of_kfda) = (endpoint(&nvrqs), endpoint(&world.read("kfda.toml")));
    let [of_kfda, of_nvrqs] = [of_kfda, of_nvrqs].map(|address| address.replace("127.0.0.1", "localhost"));
    world.edit("partners/kfda.toml", &of_kfda, &of_nvrqs);
    let _nvrqs = world.play("nvrqs", &[]).await;
    reload();
    let (steps, told, well) = check("KFDA");
    assert_eq!((&*steps, well), ("agreement true, tls false", false));
    assert!(told[2]["says"].as_str().expect("text").contains("wrong-party"), "{told}");

    let _kpta = world.play("kpta", &["--dead"]).await;
    let (steps, told, well) = check("KPTA");
    assert_eq!(
        (&*steps, well),
        ("agreement true, connect true, tls true, answer false", false),
        "it takes connections, and that is all: {told}"
    );
    assert_eq!(told[4]["says"], "nothing came within 10 s");

    let words = run(&world.path(""), ["party", "check", "NVRQS"]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("pong         ok     signed and verified"), "{words}");
}

/// Each question goes to the URL that it is agreed for, where nothing is asked a connection is made; a URL where nobody
/// shakes hands costs no other agreement its time.
#[tokio::test(flavor = "multi_thread")]
async fn each_agreement_is_checked_at_its_own_urls_and_in_its_own_time() {
    let world = World::new();
    let partner = world.read("partners/kfda.toml");
    let usual = partner.split('"').find(|text| text.starts_with("https://")).expect("a URL").to_owned();
    let silent = TcpListener::bind("localhost:0").expect("listens");
    let nobody = format!("https://localhost:{}/ebms", silent.local_addr().expect("has one").port());
    let of_its_own = |signal: &str, url: &str| {
        format!("\n[[agreement.override]]\nsignals = [\"{signal}\"]\nendpoint = \"{url}\"\n")
    };
    let (_, agreed) = partner.split_once("[[agreement]]").expect("has one");
    let before = agreed.replace("swgw-kfda-3", "swgw-kfda-2") + &of_its_own("Ping", &nobody);
    let elsewhere = of_its_own("MessageError", &format!("{usual}/errors"));
    world.write("partners/kfda.toml", &format!("{partner}{elsewhere}\n[[agreement]]{before}"));
    let _gateway = world.serve().await;
    let _kfda = world.play("kfda", &[]).await;
    let (report, _) = told(&world, &["party", "check", "KFDA", "--json"]);
    let steps = |at: usize| {
        let steps = report["agreements"][at]["steps"].as_array().expect("there are some").iter();
        let shown = steps.map(|step| format!("{} {}", step["step"].as_str().expect("text"), step["ok"]));
        shown.skip(2).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(steps(0), "endpoint true, tls false", "{report:#}");
    let usual = "connect true, tls true, answer true, pong true, message true, status true";
    assert_eq!(steps(1), format!("{usual}, endpoint true, connect true, tls true"), "{report:#}");
}

/// A server of the partner that does not trust our certificate says so only after the handshake: that is not the way open,
/// also where nothing is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_only_reached_fails_where_our_certificate_is_refused() {
    let world = World::new();
    let config = world.read("kfda.toml");
    let quoted = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {text}"));
        world.path(line.split('"').nth(1).expect("is quoted"))
    };
    // The partner's own certificate, and it trusts nobody but itself.
    let (certificate, key) = (quoted(&config, "certificate"), quoted(&config, "key"));
    let anchors = vec![certificate.clone()];
    let files = TlsFiles { certificate, key, anchors, ..TlsFiles::default() };
    let tls = Tls::new(TlsContext::load(&files).expect("loads"));
    let nothing = |_: Request| async { Response::empty(StatusCode::OK) };
    let (any, options) = (SocketAddr::from(([127, 0, 0, 1], 0)), ServerOptions::default());
    let server = Server::tls(any, tls, options, nothing).await.expect("serves");
    let url = format!("https://localhost:{}/errors", server.address().expect("tcp").port());
    let partner = world.read("partners/kfda.toml");
    let elsewhere = format!("\n[[agreement.override]]\nsignals = [\"MessageError\"]\nendpoint = \"{url}\"\n");
    world.write("partners/kfda.toml", &format!("{partner}{elsewhere}"));
    let _gateway = world.serve().await;
    let _kfda = world.play("kfda", &[]).await;
    let (report, well) = told(&world, &["party", "check", "KFDA", "--json"]);
    let steps = report["agreements"][0]["steps"].as_array().expect("there are some");
    let last: Vec<_> = steps.iter().rev().take(2).map(|step| (&step["step"], &step["ok"])).collect();
    assert_eq!(last, [(&json!("tls"), &json!(false)), (&json!("endpoint"), &json!(true))], "{report:#}");
    assert!(!well && report["reached"] == false, "{report:#}");
    assert_eq!(server.counts().requests, 0);
}

//= ebms2 7 MAY: a StatusRequest is answered on the connection
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_pings_and_hears_of_its_own_messages() {
    let world = World::new();
    let _gateway = world.serve().await;
    let send = |config: &str, question: &[&str]| {
        told(&world, &[&["send", "--config", config, "--json"], question].concat())
    };
    // Under every agreement: the usual one, and that for practice.
    let pinged = run(&world.path(""), ["send", "--config", "broker.toml", "--json", "--ping"]);
    let pongs = serde_json::Deserializer::from_slice(&pinged.stdout).into_iter::<Value>();
    let pongs: Vec<_> = pongs.map(|pong| pong.expect("is JSON")).collect();
    assert!(pinged.status.success() && pongs.iter().all(|pong| pong["signed"] == true), "{pongs:?}");
    let under: Vec<_> = pongs.iter().map(|pong| &pong["cpa_id"]).collect();
    assert_eq!(under, ["swgw-broker-1", "swgw-broker-1-practice"]);
    let tested = run(&world.path(""), ["send", "--config", "broker.toml", "--test"]);
    let words = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    for cpa_id in under {
        let cpa_id = cpa_id.as_str().expect("text");
        assert!(words.contains(&format!("acknowledged under {cpa_id} after ")), "{words}");
    }

    let names = ["929.xml", "X01.xml", "X02.xml", "FR2.xml", "phytosanitary-certificate.pdf"];
    let files = names.map(|name| format!("examples/{name}"));
    let (receipt, well) = send("broker.toml", &files.each_ref().map(String::as_str));
    assert!(well, "{receipt}");
    let id = receipt["message_id"].as_str().expect("text");
    let status = |config: &str, id: &str| {
        let (told, well) = send(config, &["--status", id]);
        assert!(well, "{told}");
        (told["status"].as_str().expect("text").to_owned(), told["received_at"].is_string())
    };
    assert_eq!(status("broker.toml", id), ("Processed".to_owned(), true));
    assert_eq!(status("broker.toml", "never-sent@broker.practice"), ("NotRecognized".to_owned(), false));
    // What is over is asked nothing.
    let over = |cpa_id: &str| {
        let named = format!("cpa_id = \"{cpa_id}\"\n");
        world.edit("broker.toml", &named, &format!("{named}end = \"2020-01-01T00:00:00Z\"\n"));
    };
    over("swgw-broker-1");
    assert_eq!(status("broker.toml", id), ("Processed".to_owned(), true));
    for question in ["--ping", "--test"] {
        let asked = run(&world.path(""), ["send", "--config", "broker.toml", question]);
        let words = String::from_utf8_lossy(&asked.stdout).into_owned();
        assert!(words.contains(" under swgw-broker-1-practice after "), "{words}");
        assert!(asked.status.success() && words.lines().count() == 1, "{question}: {words}");
    }
    over("swgw-broker-1-practice");
    let asked = run(&world.path(""), ["send", "--config", "broker.toml", "--ping"]);
    let words = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(
        !asked.status.success() && words.contains("no agreement with the gateway is in force"),
        "{words}"
    );
    assert_eq!(status("kfda.toml", id), ("NotRecognized".to_owned(), false), "it is not theirs");
    assert_eq!(
        world.list("/messages").await.len(),
        4,
        "three tests and the lodging; questions leave no record"
    );
}

//= ebms2 10.1.1 MUST: To Party MSH and next MSH in one answers both AckRequested
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_the_next_msh_too() {
    let world = World::new();
    let _gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    for (signed, actors) in
        [("false", [Actor::ToPartyMsh, Actor::NextMsh].as_slice()), ("true", &[Actor::ToPartyMsh])]
    {
        let lodging = world.lodging(if signed == "true" { 1 } else { 2 });
        let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
        // No signature covers it: it can be added to a message that is signed.
        let asked = format!(
            "<eb:AckRequested eb:version=\"2.0\" soap:mustUnderstand=\"1\" soap:actor=\"{}\" \
             eb:signed=\"{signed}\"/>",
            Actor::NEXT_MSH
        );
        let answer = broker.post(&with_block(&sealed, &asked)).await;
        assert_eq!(broker.read(&answer, &sealed), Told::Acknowledged, "the To Party's is verified as ever");
        let envelope = decode_envelope(&answer.body, None, &XmlLimits::ENVELOPE).expect("is an envelope");
        let given: Vec<_> = envelope.message.acknowledgments.iter().map(|given| given.actor).collect();
        assert_eq!(given, actors, "signed: {signed}");
        assert!(envelope.message.error_list.is_none(), "{envelope:?}");
        let apart =
            world.list("/deliveries").await.iter().filter(|d| d["action"] == "Acknowledgment").count();
        assert_eq!(apart, usize::from(signed == "true"), "a signed one travels alone");
    }
}
