//! Whom a gateway has beside its partners: players of practice, a bank, an authority for time stamps.

use super::*;

/// A partner file by who it is, with keys of `[party]` and of its agreement that are particular to it.
fn partner(name: &str, kind: &str, party: &str, agreement: &str) -> String {
    let role = if kind == "customs" { "Customs" } else { "Agency" };
    format!(
        "[party]\nkey = \"{name}\"\nname = \"{name}\"\nkind = \"{kind}\"\n{party}\n\
         tls_certificates = [\"../{name}.pem\"]\nsigning_certificates = [\"../{name}.pem\"]\n\
         [[agreement]]\ncpa_id = \"sw-{name}\"\npartner_role = \"{role}\"\nmailbox = true\n{agreement}\n\
         send = [\"RequirementVerification GOVCBRX01\"]\nown_algorithm = \"ecdsa-sha256\"\n"
    )
}

#[test]
fn practice_is_played_by_parties_of_its_own_and_everything_is_played() {
    let world = world();
    for name in ["customs", "player", "stage"] {
        fs::write(world.path().join(format!("{name}.pem")), certificate(name).0).expect("writes");
    }
    let settings = SETTINGS.replace("admin =", "api = \"127.0.0.1:9444\"\nadmin =");
    fs::write(world.path().join("gwanmun.toml"), settings).expect("writes");
    let players = [
        ("customs", partner("customs", "customs", "", "")),
        ("player", partner("player", "agency", "plays = [\"*\"]", "practice = true")),
        ("stage", partner("stage", "customs", "plays = [\"customs\"]", "practice = true")),
    ];
    let lay_out = || {
        for (name, text) in &players {
            fs::write(world.path().join(format!("partners/{name}.toml")), text).expect("writes");
        }
        fs::write(world.path().join("partners/kfda.toml"), KFDA).expect("writes");
    };
    let check = |name: &str, from: &str, to: &str, expected: &[&str]| {
        lay_out();
        let path = world.path().join(format!("partners/{name}.toml"));
        let text = fs::read_to_string(&path).expect("is there");
        assert!(text.contains(from), "{name} has {from}");
        fs::write(&path, text.replacen(from, to, 1)).expect("writes");
        assert_eq!(told(&world), expected, "{name}: {from} -> {to}");
    };
    check("player", "plays", "plays", &[]);
    check(
        "player",
        "practice = true",
        "",
        &["partners/player.toml:8:1: a production agreement, and the party plays in practice"],
    );
    check(
        "kfda",
        "retries = 5",
        "practice = true",
        &["partners/kfda.toml:9:1: an agreement for practice, and the party plays nothing in it"],
    );
    check("player", "\"*\"", "\"NPQS\"", &["partners:1:1: nobody plays agency KFDA in practice"]);
    check("player", "\"*\"", "\"KFDA\"", &[]);
    check(
        "player",
        "[\"*\"]",
        "[]",
        &["partners/player.toml:1:1: plays is neither a list of agency codes nor \"*\" alone"],
    );
    check(
        "player",
        "[\"*\"]",
        "[\"KFDA\", \"*\"]",
        &["partners/player.toml:1:1: plays is neither a list of agency codes nor \"*\" alone"],
    );
    check(
        "stage",
        "\"customs\"]",
        "\"KFDA\"]",
        &["partners/stage.toml:1:1: customs plays customs, and nothing else"],
    );
    check(
        "customs",
        "\n\n",
        "\nplays = [\"customs\"]\n",
        &[
            "partners/customs.toml:8:1: a production agreement, and the party plays in practice",
            "partners/stage.toml:1:1: this part in practice is already that of {customs}",
        ]
        .map(|text| {
            let path = world.path().join("partners/customs.toml").display().to_string();
            text.replace("{customs}", &path.replace(&format!("{}/", world.path().display()), ""))
        })
        .each_ref()
        .map(String::as_str),
    );
    lay_out();
    fs::remove_file(world.path().join("partners/stage.toml")).expect("is there");
    assert_eq!(told(&world), ["partners:1:1: agreement sw-player is for practice, and nobody plays customs"]);
}

/// A bank in `gwanmun.toml`.
const PAYMENT: &str = r#"
[payment]
url = "https://bank.example/payments"
certificate = "own.pem"
key = "own.key"
anchors = ["own.pem"]
retry_interval = "5s"
retry_interval_max = "1m"
alarm_after = "2m"
"#;

#[test]
fn a_bank_is_what_the_settings_say_and_none_without_them() {
    let world = world();
    let path = world.path().join("gwanmun.toml");
    let without = load(&path).expect("is in order");
    assert!(without.settings.payment.is_none() && without.bank.is_none());
    fs::write(&path, format!("{SETTINGS}{PAYMENT}")).expect("writes");
    let loaded = load(&path).expect("is in order");
    let payment = loaded.settings.payment.expect("there is a bank");
    assert_eq!(payment.url.to_string(), "https://bank.example:443/payments");
    let seconds = std::time::Duration::from_secs;
    let expected = crate::model::PaymentTerms {
        retry_interval: seconds(5),
        retry_interval_max: seconds(60),
        alarm_after: seconds(120),
    };
    assert_eq!((payment.bank.terms, payment.response_deadline), (expected, seconds(30)));
    assert_eq!(&*payment.bank.name, "https://bank.example:443/payments", "without a name, its URL");
    assert!(loaded.bank.is_some());
}

#[test]
fn every_mistake_about_a_bank_is_told() {
    fn check(from: &str, to: &str, message: &str) {
        let world = world();
        let path = world.path().join("gwanmun.toml");
        assert!(PAYMENT.contains(from), "{from}");
        fs::write(&path, format!("{SETTINGS}{}", PAYMENT.replacen(from, to, 1))).expect("writes");
        let faults = load(&path).expect_err(message);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|fault| fault.contains(message)), "{message:?} in {told:#?}");
    }
    check("https://bank", "http://bank", "is not a URL such as https://bank.example/payments");
    check("/payments", "/payments?for=swgw", "is not a URL such as https://bank.example/payments");
    check("url = ", "uri = ", "[payment] url is missing");
    check("retry_interval = \"5s\"", "retry_interval = \"2m\"", "not between nothing and retry_interval_max");
    check("retry_interval = \"5s\"", "retry_interval = \"0s\"", "not between nothing and retry_interval_max");
    check("own.key", "kfda.key", "[payment]");
    check("own.key", "missing.key", "is not an existing path");
}

#[test]
fn rehearsals_have_a_bank_of_their_own() {
    let world = world();
    let path = world.path().join("gwanmun.toml");
    let practice = PAYMENT.replace("[payment]", "[practice_payment]");
    fs::write(&path, format!("{SETTINGS}{PAYMENT}{practice}")).expect("writes");
    // However it is written.
    let other_spellings = [
        practice.clone(),
        practice.replace("/payments", "/payments/"),
        practice.replace("bank.example", "BANK.Example"),
        practice.replace("bank.example", "bank.example:443"),
    ];
    for practice in other_spellings {
        fs::write(&path, format!("{SETTINGS}{PAYMENT}{practice}")).expect("writes");
        let told = load(&path).expect_err("is one bank for both")[0].to_string();
        assert!(told.contains("[payment] and [practice_payment] are the same bank"), "{told}\n{practice}");
    }
    let practice = practice.replace("bank.example", "practice-bank.example");
    fs::write(&path, format!("{SETTINGS}{PAYMENT}{practice}")).expect("writes");
    let loaded = load(&path).expect("is in order");
    assert!(loaded.practice_bank.is_some() && loaded.settings.practice_payment.is_some());
}

/// `BANK.toml` of a practice bank.
const BANK: &str = r#"
[listen]
api = "127.0.0.1:18444"

[tls]
certificate = "kfda.pem"
key = "kfda.key"
anchors = ["own.pem"]

[clients]
tls_certificates = ["own.pem"]

[ledger]
directory = "bank"
"#;

#[test]
fn a_practice_bank_knows_whose_orders_it_takes() {
    let world = world();
    let path = world.path().join("bank.toml");
    fs::write(&path, BANK).expect("writes");
    let bank = super::load_bank(&path).expect("is in order");
    assert_eq!((bank.clients.len(), bank.directory), (1, world.path().join("bank")));
    fs::write(&path, BANK.replace("tls_certificates", "certificates")).expect("writes");
    assert!(super::load_bank(&path).is_err());
}

/// An authority for time stamps in `gwanmun.toml`.
const TIME_STAMP: &str = r#"
[audit.time_stamp]
url = "https://tsa.example/tsr"
anchors = ["own.pem"]
authorities = ["kfda.pem"]
"#;

#[test]
fn an_authority_for_time_stamps_is_what_the_settings_say() {
    let world = world();
    let path = world.path().join("gwanmun.toml");
    let without = load(&path).expect("is in order");
    assert!(without.settings.audit.time_stamp.is_none() && without.time_stamps.is_none());
    fs::write(&path, format!("{SETTINGS}{TIME_STAMP}")).expect("writes");
    let loaded = load(&path).expect("is in order");
    assert!(loaded.time_stamps.is_some());
    let settings = loaded.settings.audit.time_stamp.expect("there is an authority");
    assert_eq!(settings.tls.certificate, loaded.settings.tls.certificate, "it is shown what partners are");
    let seconds = std::time::Duration::from_secs;
    assert_eq!((settings.interval, settings.retry_interval), (seconds(3600), seconds(60)));
    let deadlines = (settings.connect_deadline, settings.response_deadline, settings.clock_skew_max);
    assert_eq!(deadlines, (seconds(5), seconds(30), seconds(300)));
}

#[test]
fn every_mistake_about_an_authority_for_time_stamps_is_told() {
    fn check(from: &str, to: &str, message: &str) {
        let world = world();
        let path = world.path().join("gwanmun.toml");
        assert!(TIME_STAMP.contains(from), "{from}");
        fs::write(&path, format!("{SETTINGS}{}", TIME_STAMP.replacen(from, to, 1))).expect("writes");
        let faults = load(&path).expect_err(message);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|fault| fault.contains(message)), "{message:?} in {told:#?}");
    }
    check("https://", "http://", "is not a URL such as https://tsa.example/tsr");
    check("url = ", "uri = ", "[time_stamp] url is missing");
    check("anchors", "#", "[audit.time_stamp] trusts nobody to be the authority's server");
    check("authorities", "#", "[audit.time_stamp] authorities is missing");
    check("kfda.pem", "kfda.key", "[audit.time_stamp] authorities: ");
    check("anchors", "policy = \"mine\"\nanchors", "is not an object identifier such as 1.2.410.200001");
    check("anchors", "interval = \"0s\"\nanchors", "interval is nothing");
    check("anchors", "retry_interval = \"0s\"\nanchors", "retry_interval is nothing");
    check("anchors", "certificate = \"own.pem\"\nanchors", "[time_stamp] key is missing");
    check("anchors", "certificate = \"own.pem\"\nkey = \"kfda.key\"\nanchors", "[audit.time_stamp] ");
}

/// `AUTHORITY.toml` of a practice authority.
const AUTHORITY: &str = r#"
[listen]
api = "127.0.0.1:18445"

[tls]
certificate = "kfda.pem"
key = "kfda.key"
anchors = ["own.pem"]

[time_stamp]
certificate = "own.pem"
key = "own.key"
policy = "1.2.410.200001"
directory = "authority"
"#;

#[test]
fn a_practice_authority_knows_what_it_stamps_with() {
    let world = world();
    let path = world.path().join("authority.toml");
    fs::write(&path, AUTHORITY).expect("writes");
    let authority = super::load_authority(&path).expect("is in order");
    assert_eq!(authority.policy.to_string(), "1.2.410.200001");
    assert_eq!(authority.directory, world.path().join("authority"));
    for (from, to) in [("policy = \"1.2", "policy = \"x"), ("own.key", "none.key"), ("directory", "folder")] {
        fs::write(&path, AUTHORITY.replace(from, to)).expect("writes");
        assert!(super::load_authority(&path).is_err(), "{to}");
    }
}
