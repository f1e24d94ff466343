//! The `gwanmun` program: arguments and exit codes.
//!
//! Exit codes: 0 done, 1 a failure that the message explains, 2 wrong usage, 3 the store failed, 4 settings with
//! mistakes, 141 (as by SIGPIPE) when who reads the output has gone, which is no error to speak of.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gwanmun::config::{SettingsMistaken, SettingsRefused};
use gwanmun::gateway::{self, StoreFailed};
use gwanmun::{bench, cli, practice};

/// ebXML message-routing gateway for a customs Single Window
#[derive(Parser)]
#[command(version, about, after_help = "Start with: gwanmun demo")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Agreement(cli::agreement::AgreementArgs),
    Audit(cli::audit::AuditArgs),
    Bench(bench::BenchArgs),
    Case(cli::case::CaseArgs),
    Check(cli::check::CheckArgs),
    Conversation(cli::conversation::ConversationArgs),
    Delivery(cli::delivery::DeliveryArgs),
    Demo(cli::demo::DemoArgs),
    Events(cli::events::EventsArgs),
    Inbox(cli::inbox::InboxArgs),
    Inspect(cli::inspect::InspectArgs),
    Keys(cli::keys::KeysArgs),
    Mailbox(practice::MailboxArgs),
    Message(cli::message::MessageArgs),
    Notice(cli::notice::NoticeArgs),
    Party(cli::party::PartyArgs),
    Payment(cli::payment::PaymentArgs),
    Pki(cli::pki::PkiArgs),
    Practice(practice::PracticeArgs),
    Reload(cli::reload::ReloadArgs),
    Rules(cli::rules::RulesArgs),
    Send(practice::SendArgs),
    Serve(gateway::ServeArgs),
    Stats(cli::stats::StatsArgs),
    Store(cli::store::StoreArgs),
}

fn main() -> ExitCode {
    let out = &mut std::io::stdout().lock();
    let told = match Arguments::parse().command {
        Command::Agreement(command) => command.run(out),
        Command::Audit(command) => command.run(out),
        Command::Bench(command) => command.run(out),
        Command::Case(command) => command.run(out),
        Command::Check(command) => command.run(out),
        Command::Conversation(command) => command.run(out),
        Command::Delivery(command) => command.run(out),
        Command::Demo(command) => command.run(out),
        Command::Events(command) => command.run(out),
        Command::Inbox(command) => command.run(out),
        Command::Inspect(command) => command.run(out),
        Command::Keys(command) => command.run(out),
        Command::Mailbox(command) => command.run(out),
        Command::Message(command) => command.run(out),
        Command::Notice(command) => command.run(out),
        Command::Party(command) => command.run(out),
        Command::Payment(command) => command.run(out),
        Command::Pki(command) => command.run(out),
        Command::Practice(command) => command.run(out),
        Command::Reload(command) => command.run(out),
        Command::Rules(command) => command.run(out),
        Command::Send(command) => command.run(out),
        Command::Serve(command) => command.run(out),
        Command::Stats(command) => command.run(out),
        Command::Store(command) => command.run(out),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if practice::nobody_reads(&error) => ExitCode::from(141),
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<SettingsRefused>() || error.is::<SettingsMistaken>() {
                ExitCode::from(SettingsRefused::EXIT_CODE)
            } else if error.is::<StoreFailed>() {
                ExitCode::from(StoreFailed::EXIT_CODE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
