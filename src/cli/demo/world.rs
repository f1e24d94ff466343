//! A practice world in a directory: authority, gateway, partners, rules, example documents.
//!
//! Everything is plain files that the ordinary commands read, so that a newcomer can look at them, change them and
//! go on from there. A world that is there already is used as it stands; only its examples are renewed, because
//! no declaration number is accepted twice.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use openssl::rand::rand_bytes;
use serde::{Deserialize, Serialize};

use super::cast::{BANK, GATEWAY_PARTY, bank_settings, cast, gateway_settings};
use crate::cli::KeyAlgorithm;
use crate::cli::pki::{self, PracticeOptions};
use crate::cli::rules::rule_set;
use crate::model::{Timestamp, derive_id};

/// What was prepared, and where; also the file `world.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct World {
    /// The directory.
    pub(super) directory: PathBuf,
    /// Settings of the gateway.
    pub(super) gateway: PathBuf,
    /// Its admin socket.
    pub(super) socket: PathBuf,
    /// Where partners post to it.
    pub(super) endpoint: String,
    /// Where those without a server collect from it.
    pub(super) api: String,
    /// Its rule directory.
    pub(super) rules: PathBuf,
    /// The partners.
    pub(super) partners: Vec<Partner>,
    /// The bank that fees are paid at; worlds that were made before there was one have none.
    #[serde(default)]
    pub(super) bank: Option<Bank>,
}

/// The practice bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bank {
    /// Its settings.
    pub(super) config: PathBuf,
    /// What it has booked and refused.
    pub(super) ledger: PathBuf,
}

/// A practice partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partner {
    /// The name of its directory.
    pub(super) name: String,
    /// Its box number.
    pub(super) party: String,
    /// What it plays: `broker`, `customs` or `agency`.
    pub(super) role: String,
    /// Its settings.
    pub(super) config: PathBuf,
    /// Its journal.
    pub(super) journal: PathBuf,
    /// Where it listens.
    pub(super) port: u16,
    /// The application documents that it decides.
    pub(super) applications: Vec<String>,
    /// It plays in practice only.
    #[serde(default)]
    pub(super) practice: bool,
}

/// What [`prepare`] shall make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorldOptions {
    /// The rule directory, whose agencies are played; without one that of the worked example.
    pub(super) rules: Option<PathBuf>,
    /// The kind of every key.
    pub(super) algorithm: KeyAlgorithm,
    /// How many messages may be in flight between the gateway and one partner.
    pub(super) window: u32,
    /// The ports that processes may listen on.
    pub(super) ports: RangeInclusive<u16>,
}

impl World {
    /// The partner of this name.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn partner(&self, name: &str) -> Result<&Partner> {
        let found = self.partners.iter().find(|partner| partner.name == name);
        found.with_context(|| format!("there is no partner {name} in {}", self.directory.display()))
    }

    /// The agency that decides applications with this document code.
    #[must_use]
    pub(super) fn agency_for(&self, code: &str) -> Option<&Partner> {
        self.partners.iter().find(|partner| partner.applications.iter().any(|form| form == code))
    }

    /// The name of the party with this box number.
    #[must_use]
    pub(super) fn name_of<'a>(&'a self, party: &'a str) -> &'a str {
        if party == GATEWAY_PARTY {
            return "gateway";
        }
        self.partners.iter().find(|partner| partner.party == party).map_or(party, |partner| &partner.name)
    }
}

/// Example documents of one declaration, ready for `gwanmun send`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Examples {
    /// The declaration's number.
    pub(super) declaration: String,
    /// The files, the declaration first.
    pub(super) files: Vec<PathBuf>,
}

/// Makes the world in `directory`, or finds it there.
///
/// # Errors
/// When a file stands in the way or cannot be written.
pub(super) fn prepare(directory: &Path, options: &WorldOptions) -> Result<World> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let directory = &directory.canonicalize()?;
    let described = directory.join("world.json");
    if described.exists() {
        let text = fs::read_to_string(&described)?;
        return serde_json::from_str(&text).with_context(|| format!("{} is damaged", described.display()));
    }
    let rules = match &options.rules {
        Some(rules) => rules.canonicalize().with_context(|| format!("cannot find {}", rules.display()))?,
        None => worked_rules(directory)?,
    };
    let cast = cast(rule_set(&rules, None)?.as_ref());
    let names = ["gateway", BANK].into_iter().chain(cast.iter().map(|actor| actor.name.as_str()));
    let practice = PracticeOptions {
        parties: names.map(str::to_owned).collect(),
        algorithm: options.algorithm,
        replace: false,
    };
    pki::practice(&directory.join("pki"), &practice)?;
    let mut ports = free_ports(&options.ports, cast.len() + 4)?.into_iter();
    let mut port = || ports.next().expect("as many were asked for");
    let (gateway_port, api_port, admin_port, bank_port) = (port(), port(), port(), port());
    let endpoint = format!("https://localhost:{gateway_port}/ebms");
    let api = format!("https://localhost:{api_port}");
    for sub in ["partners", "run"] {
        fs::create_dir_all(directory.join(sub))?;
    }
    let gateway = directory.join("gwanmun.toml");
    fs::write(&gateway, gateway_settings([gateway_port, api_port, admin_port, bank_port], &rules, options))?;
    let mut partners = Vec::with_capacity(cast.len());
    for actor in &cast {
        let port = port();
        let (sends, takes) = actor.actions(&cast);
        let file = format!("{}.toml", actor.name);
        fs::write(directory.join("partners").join(&file), actor.registered(port, &sends, &takes, options))?;
        let config = directory.join(&file);
        fs::write(&config, actor.own_settings(port, (&endpoint, &api), &sends, &takes, options))?;
        partners.push(Partner {
            name: actor.name.clone(),
            party: actor.party.clone(),
            role: actor.role().to_owned(),
            config,
            journal: directory.join(&actor.name).join("journal.jsonl"),
            port,
            applications: actor.decides(),
            practice: actor.plays.is_some(),
        });
    }
    let bank = Bank { config: directory.join("bank.toml"), ledger: directory.join("bank/ledger.jsonl") };
    fs::write(&bank.config, bank_settings(bank_port))?;
    let socket = directory.join("run/gwanmun.sock");
    let world = World {
        directory: directory.clone(),
        gateway,
        socket,
        endpoint,
        api,
        rules,
        partners,
        bank: Some(bank),
    };
    fs::write(&described, serde_json::to_string_pretty(&world)?)?;
    Ok(world)
}

/// Writes the documents of one declaration under fresh numbers: the worked example, for three agencies.
///
/// # Errors
/// When they cannot be written.
pub(super) fn examples(world: &World, now: Timestamp) -> Result<Examples> {
    let directory = world.directory.join("examples");
    fs::create_dir_all(&directory)?;
    let unique = derive_id(&[&now.as_millis().to_string(), &std::process::id().to_string()]);
    let serial = unique.bytes().take(6).map(|b| char::from(b'0' + b % 10)).collect::<String>();
    let here = now.to_jiff().in_tz("Asia/Seoul").context("the zone database has Asia/Seoul")?;
    let declaration = format!("{FILER}{}{serial}X", here.strftime("%y"));
    let made_at = here.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let today = here.strftime("%Y-%m-%d").to_string();
    let mut files = Vec::with_capacity(EXAMPLES.len() + 1);
    for (name, text) in EXAMPLES {
        let application = format!("{name}-{}-{serial}", here.strftime("%Y%m%d%H%M%S"));
        let filled = [
            ("@DECLARATION@", &declaration),
            ("@APPLICATION@", &application),
            ("@NOW@", &made_at),
            ("@TODAY@", &today),
        ]
        .iter()
        .fold(text.to_owned(), |text, (hole, value)| text.replace(hole, value));
        let file = directory.join(format!("{name}.xml"));
        fs::write(&file, filled)?;
        files.push(file);
    }
    let attachment = directory.join("phytosanitary-certificate.pdf");
    fs::write(&attachment, ATTACHMENT)?;
    files.push(attachment);
    Ok(Examples { declaration, files })
}

/// The worked rule directory: that of a checkout, where we stand in one, else the one that was built in.
fn worked_rules(directory: &Path) -> Result<PathBuf> {
    let checkout = Path::new("routing-rules/kr-import");
    if checkout.join("ruleset.toml").exists() {
        return Ok(checkout.canonicalize()?);
    }
    let rules = directory.join("rules");
    for (path, text) in RULES {
        let file = rules.join(path);
        fs::create_dir_all(file.parent().unwrap_or(&rules))?;
        fs::write(file, text)?;
    }
    Ok(rules)
}

/// Ports of the loopback that nobody listens on, drawn from a range. Somebody may take one before we do: then starting
/// fails, and says so.
fn free_ports(range: &RangeInclusive<u16>, count: usize) -> Result<Vec<u16>> {
    let mut held = Vec::new();
    for _ in 0..PORT_DRAWS_MAX {
        if held.len() == count {
            break;
        }
        let mut drawn = [0; 2];
        rand_bytes(&mut drawn)?;
        let port = range.start() + u16::from_ne_bytes(drawn) % (range.end() - range.start() + 1);
        // Held until all are found, so that none is found twice.
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    ensure!(
        held.len() == count,
        "of the ports {} to {} no {count} are free: give others with --ports",
        range.start(),
        range.end()
    );
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// A range of ports, as `20000-20099`.
///
/// # Errors
/// When it is none.
pub(super) fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range = text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    range
        .filter(|range| *range.start() > 0 && !range.is_empty())
        .ok_or_else(|| "a range of ports is written as 20000-20099".to_owned())
}

/// Below the ports that the system lends to outgoing connections: one of those could be lent between two starts.
pub(super) const PORTS: &str = "10240-32767";
/// So often a port is drawn before it is said that there is none.
const PORT_DRAWS_MAX: usize = 10_000;

/// The filer code of the practice broker.
const FILER: &str = "12345";

const EXAMPLES: [(&str, &str); 4] = [
    ("929", include_str!("examples/929.xml")),
    ("X01", include_str!("examples/X01.xml")),
    ("X02", include_str!("examples/X02.xml")),
    ("FR2", include_str!("examples/FR2.xml")),
];
const ATTACHMENT: &[u8] = b"%PDF-1.4\n% A phytosanitary certificate for practice, worth nothing.\n%%EOF\n";

/// A file of the worked rule set, by its path in the directory.
macro_rules! rule_file {
    ($path:literal) => {
        ($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/routing-rules/kr-import/", $path)))
    };
}

/// The worked rule set.
const RULES: [(&str, &str); 7] = [
    rule_file!("ruleset.toml"),
    rule_file!("requirements.csv"),
    rule_file!("except.csv"),
    rule_file!("calendars/kr.csv"),
    rule_file!("tests/animals.toml"),
    rule_file!("tests/goods.toml"),
    rule_file!("tests/herbs.toml"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::model::Direction;

    #[test]
    fn a_world_is_in_order_and_both_sides_say_the_same() {
        for rules in ["kr-import", "kr-agencies"] {
            let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("routing-rules").join(rules);
            let options = WorldOptions {
                rules: Some(rules),
                algorithm: KeyAlgorithm::P256,
                window: 8,
                ports: 10_240..=32_767,
            };
            both_sides_say_the_same(&options);
        }
    }

    fn both_sides_say_the_same(options: &WorldOptions) {
        let directory = tempfile::tempdir().expect("makes a directory");
        let world = prepare(directory.path(), options).expect("is made");
        assert_eq!(prepare(directory.path(), options).expect("is found"), world);
        let loaded = config::load(&world.gateway).expect("the gateway's side is in order");
        assert_eq!(loaded.settings.listen.socket.as_deref(), Some(&*world.socket));
        let registry = loaded.partners.registry;
        for partner in &world.partners {
            let party = config::load_party(&partner.config).expect("the partner's side is in order");
            assert_eq!(party.directory.join("journal.jsonl"), partner.journal);
            assert_eq!(party.identity.key.as_str(), partner.party);
            let own = party.partners.registry.agreements().next().expect("is agreed");
            let theirs = registry.agreement(&own.cpa_id).expect("is known to the gateway");
            assert_eq!((&theirs.own_role, &theirs.partner_role), (&own.partner_role, &own.own_role));
            for binding in &own.actions {
                let direction =
                    if binding.direction == Direction::Send { Direction::Receive } else { Direction::Send };
                assert!(theirs.allows(direction, &binding.service, &binding.action), "{binding:?}");
            }
            assert_eq!(own.actions.len(), theirs.actions.len());
        }
    }

    #[test]
    fn ports_come_from_their_range_or_it_says_that_it_has_too_few() {
        assert_eq!(parse_ports(PORTS), Ok(10_240..=32_767));
        for text in ["", "20000", "20000-", "-20000", "0-9", "20001-20000", "20000-65536", "a-b"] {
            assert!(parse_ports(text).is_err(), "{text}");
        }
        let range = 10_240..=32_767;
        let mut ports = free_ports(&range, 20).expect("are free");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
        assert!(ports.iter().all(|port| range.contains(port)));
        let told = free_ports(&(20_000..=20_002), 4).expect_err("are too few").to_string();
        assert_eq!(told, "of the ports 20000 to 20002 no 4 are free: give others with --ports");
    }

    #[test]
    fn the_built_in_rules_are_those_of_the_checkout() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("routing-rules/kr-import");
        let mut open = vec![root.clone()];
        let mut files = Vec::new();
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("is a directory") {
                let path = entry.expect("is an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let inside = path.strip_prefix(&root).expect("is below");
                    files.push(inside.to_str().expect("is text").to_owned());
                }
            }
        }
        files.sort();
        let mut built_in = RULES.map(|(path, _)| path.to_owned());
        built_in.sort();
        assert_eq!(built_in.as_slice(), files);
    }

    #[test]
    fn examples_get_fresh_numbers_and_keep_no_hole() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let options =
            WorldOptions { rules: None, algorithm: KeyAlgorithm::P256, window: 8, ports: 10_240..=32_767 };
        let world = prepare(directory.path(), &options).expect("is made");
        let [first, second] = [1_259_629_200_000, 1_259_629_201_000]
            .map(|at| examples(&world, Timestamp::from_millis(at)).expect("are written"));
        assert_ne!(first.declaration, second.declaration);
        assert_eq!(second.files.len(), EXAMPLES.len() + 1);
        for file in second.files.iter().filter(|file| file.extension().is_some_and(|e| e == "xml")) {
            let text = fs::read_to_string(file).expect("is there");
            assert!(!text.contains('@') || text.contains("@broker.practice"), "{}", file.display());
            assert!(text.contains(&second.declaration), "{}", file.display());
            let catalogue = crate::codec::catalogue::Catalogue::built_in();
            let code = crate::codec::document::document_code_of_root(catalogue, text.as_bytes());
            let at = "2009-12-01T10:00:00+09:00".parse().expect("is an instant");
            let read = crate::codec::document::read_document(
                catalogue,
                &code.expect("is ours"),
                text.as_bytes(),
                at,
            );
            assert_eq!(read.err(), None, "{}", file.display());
        }
    }
}
