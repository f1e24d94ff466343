//! The version of an application, for whoever decides on what was seen of it.

use crate::model::{Application, derive_id};

/// A word that changes with everything that is said and done about the application. Its deadlines are not part of it: a
/// reminder takes no decision out of anybody's hands.
///
/// # Panics
/// Never: an application is plain data.
#[must_use]
pub fn version_of(application: &Application) -> String {
    let said = Application { watch: None, accept_by: None, decide_by: None, ..application.clone() };
    let record = serde_json::to_string(&said).expect("an application is plain data");
    let mut version = derive_id(&["version", &record]);
    version.truncate(VERSION_CHARS);
    version
}

/// Enough to tell the versions of one application apart.
const VERSION_CHARS: usize = 12;
